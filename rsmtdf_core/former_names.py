"""Module names of earlier versions, so that scripts that import them still work, with a warning."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from warnings import warn

# The wheel has the top-level folders inside a package, so the top-level names may belong to other packages.
_ROOT = __name__.partition("rsmtdf_core")[0]

FORMER = {
    _ROOT + former: name
    for former, name in {
        "pipeline.signals": "pipeline.train.signals",
        "rsmtdf_core.manifests": "rsmtdf_core.scenes",
        "rsmtdf_core.manifests.files": "rsmtdf_core.scenes.files",
        "rsmtdf_core.manifests.reader": "rsmtdf_core.scenes.reader",
        "rsmtdf_core.manifests.scenes": "rsmtdf_core.scenes.find",
        "rsmtdf_core.manifests.schema": "rsmtdf_core.scenes.manifest",
        "rsmtdf_core.rasters": "rsmtdf_core.scenes",
        "rsmtdf_core.rasters.reading": "rsmtdf_core.scenes.rasters",
        "rsmtdf_core.training.run_folder": "rsmtdf_core.runs.folder",
    }.items()
}


class FormerNames(MetaPathFinder, Loader):
    """Import hook that maps a former module name to the current module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for a former name, or None for any other name."""
        del path, target
        return ModuleSpec(fullname, self) if fullname in FORMER else None

    def exec_module(self, module: ModuleType) -> None:
        """Replace the empty module by the current one."""
        former, name = module.__name__, FORMER[module.__name__]
        warn(f"{former} is now {name}", DeprecationWarning, stacklevel=2)
        sys.modules[former] = import_module(name)


def install() -> None:
    """Register the finder once."""
    if not any(isinstance(finder, FormerNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, FormerNames())
