"""Which paths of dvc.yaml are the project's code."""

CODE = "alignloop"  # the folder in which every dependency is code


def is_code(path: str) -> bool:
    """Whether a path, relative to the project's root, is code."""
    return path == CODE or path.startswith(f"{CODE}/")
