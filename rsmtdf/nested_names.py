"""Second names of the top-level folders: the names that they have in an installed wheel, inside this package.

A package with a plug-in imports `rsmtdf.rsmtdf_core.kinds`, say. In the wheel that is a module like any other. In a
checkout or an editable installation it is `rsmtdf_core.kinds`, the same object under a second name.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import rsmtdf_core

NESTED = ("cli", "data_manifests", "pipeline", "rsmtdf_core")


class NestedNames(MetaPathFinder, Loader):
    """Imports `pipeline.config` when it is asked for `rsmtdf.pipeline.config`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for names of nested modules, None for all others."""
        del path, target
        package, *names = fullname.split(".")
        nested = package == "rsmtdf" and names and names[0] in NESTED
        return ModuleSpec(fullname, self) if nested else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of the folder in the place of the empty one."""
        name = module.__name__.partition(".")[2]
        sys.modules[module.__name__] = import_module(name)


def install() -> None:
    """Register the finder once; a wheel needs none."""
    in_wheel = "." in rsmtdf_core.__name__
    if not in_wheel and not any(isinstance(finder, NestedNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, NestedNames())
