"""YAML files that people write: read, with each key once."""

from pathlib import Path
from typing import Any

import yaml

from alignloop.errors import AlignloopError


class ParamsError(AlignloopError):
    """params.yaml or a file like it cannot be used; the message says which key, why, and what to do."""


def values_in(path: Path, remedy: str) -> Any:
    """What a YAML file holds. Raises ParamsError, with `remedy` where the file cannot be read."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _EachKeyOnce)
    except OSError as error:
        raise ParamsError(f"{path}: {error.strerror}; {remedy}") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML: {error}") from None


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, where YAML's own loader takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key.value}' stands twice; remove one", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)
