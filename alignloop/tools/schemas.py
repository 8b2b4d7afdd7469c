"""JSON schemas of tools: of arguments, which the policy chooses, and of settings, which the user states."""

from collections.abc import Iterator, Mapping
from typing import Any

from alignloop.errors import AlignloopError


class ToolError(AlignloopError):
    """A tool cannot be used; the message names it, the fault and the remedy."""


def validator(function: str, schema: Mapping[str, Any]) -> Any:
    """What checks a call's arguments. Raises ToolError for a schema that is none, or refers to elsewhere.

    No reference is fetched: all must be found in the schema itself.
    """
    from jsonschema import Draft202012Validator  # a tenth of a second, and most runs have no tools
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ToolError(
            f"tools: {function}: its parameters are no JSON schema: {error.message[:200]}; mend it"
        ) from None
    registry: Any = Registry()
    whole = DRAFT202012.create_resource(schema)
    for resolver, part in _parts(registry.resolver_with_root(whole), whole):
        for key in ("$ref", "$dynamicRef"):
            if isinstance(part, Mapping) and isinstance(part.get(key), str):
                try:
                    resolver.lookup(part[key])
                except (Unresolvable, ValueError):
                    raise ToolError(
                        f"tools: {function}: its parameters refer to {part[key][:100]}, which is not in the "
                        "schema itself; write it there ($defs)"
                    ) from None
    return Draft202012Validator(schema, registry=registry)


def _parts(resolver: Any, resource: Any) -> Iterator[tuple[Any, Any]]:
    """A schema and all schemas in it, each with what finds its references."""
    yield resolver, resource.contents
    for part in resource.subresources():
        yield from _parts(resolver.in_subresource(part), part)


def fault(validator: Any, arguments: Mapping[str, Any]) -> str:
    """What is wrong with arguments or settings by their schema; "" where nothing is."""
    try:
        errors = sorted(validator.iter_errors(arguments), key=lambda each: str(each.absolute_path))
    except RecursionError:
        return "nested too deeply"
    if not errors:
        return ""
    place = ".".join(map(str, errors[0].absolute_path))
    return f"{f'{place}: ' if place else ''}{errors[0].message[:200]}"


def check_settings(function: str, found: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise ToolError where the settings are not those that the function takes.

    `found` is what the tool's process says of it: its schemas, and the names that it takes and needs.
    """
    validator(function, found["parameters"])
    chosen = found["parameters"].get("properties") or {}
    place = f"tools.functions: {function}: settings"
    if both := sorted(settings.keys() & chosen.keys()):
        raise ToolError(f"{place}.{both[0]}: is an argument that the policy chooses; leave it out")
    takes = [name for name in found["takes"] if name not in chosen]
    if not found["takes_any"] and (unknown := sorted(settings.keys() - set(takes))):
        known = f"it takes {', '.join(takes)}" if takes else "it takes none"
        raise ToolError(f"{place}.{unknown[0]}: there is no such setting; {known}")
    missing = [name for name in found["needs"] if name not in chosen and name not in settings]
    if missing and found["parameters"].get("additionalProperties") is False:
        raise ToolError(f"{place}.{missing[0]}: is missing; state it")
    if found["settings"] is not None and (wrong := fault(validator(function, found["settings"]), settings)):
        raise ToolError(f"{place}.{wrong}; mend it")
