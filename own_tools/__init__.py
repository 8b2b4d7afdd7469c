"""Tools for `tools.functions` in params.yaml: `own_tools.FILE:FUNCTION`."""
