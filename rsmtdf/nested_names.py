"""Aliases of the top-level folders inside this package, as in an installed wheel.

A package with a plug-in imports, for example, `rsmtdf.rsmtdf_core.kinds`. In the wheel, this is an ordinary module. In
a checkout or an editable installation, it is an alias of `rsmtdf_core.kinds`.
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
    """Import hook that maps a name such as `rsmtdf.pipeline.config` to `pipeline.config`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for the name of a nested module, or None for any other name."""
        del path, target
        package, *names = fullname.split(".")
        nested = package == "rsmtdf" and names and names[0] in NESTED
        return ModuleSpec(fullname, self) if nested else None

    def exec_module(self, module: ModuleType) -> None:
        """Replace the empty module by the module of the folder."""
        name = module.__name__.partition(".")[2]
        sys.modules[module.__name__] = import_module(name)


def install() -> None:
    """Register the finder once, except in a wheel."""
    in_wheel = "." in rsmtdf_core.__name__
    if not in_wheel and not any(isinstance(finder, NestedNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, NestedNames())
