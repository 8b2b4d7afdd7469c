"""Makes DVC compare code by `code_hash`: changed comments or type hints leave a stage up to date.

DVC has no setting for this, so the two places where a dependency's hash is made are replaced. `install` does
so as soon as DVC is imported: in this project's own processes, and, by a line that `make env` puts into the
environment, in the `dvc` program too. In an environment without that line `dvc status` calls every stage
changed.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from alignloop.pipeline.code_paths import is_code

PATCHED = "dvc.dependency.base"


def install() -> None:
    """Have DVC's dependencies use `code_hash`, now or as soon as they are imported."""
    if PATCHED in sys.modules:
        _patch(sys.modules[PATCHED])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _patch(module: ModuleType) -> None:
    dependency: Any = module.Dependency
    if getattr(dependency, "compares_code_by_syntax", False):
        return
    get_hash, save = dependency.get_hash, dependency.save

    def own_hash(self: Any) -> Any:
        from dvc_data.hashfile.hash_info import HashInfo

        from alignloop.pipeline.code_hash import code_hash

        return HashInfo("md5", code_hash(Path(self.fs_path)))

    def get_hash_by_syntax(self: Any) -> Any:
        return own_hash(self) if _is_code(self) else get_hash(self)

    def save_by_syntax(self: Any) -> None:
        save(self)
        if _is_code(self):
            self.hash_info = own_hash(self)

    dependency.get_hash, dependency.save = get_hash_by_syntax, save_by_syntax
    dependency.compares_code_by_syntax = True


def _is_code(dependency: Any) -> bool:
    return is_code(dependency.def_path) and dependency.fs.protocol == "local" and dependency.exists


class _Finder(MetaPathFinder, Loader):
    """Finds the patched module as Python would, and patches it when it has been run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != PATCHED:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec and spec.loader:
            self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _patch(module)
