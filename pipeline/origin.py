"""What is known of the training data of a model from another program that a training began from."""

from pathlib import Path

from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.scenes.splits import data_of_origin


def trained_on(run: RunFolder) -> Manifest | None:
    """Return the manifest that lists the training scenes of the model of `RunFolder.origin`; None if unknown."""
    return load_manifest(str(run.splits)) if run.splits.is_file() else None


def begun_from(run: RunFolder) -> str | None:
    """Describe the model of another program that a training began from; None for others and for imported models."""
    origin = run.origin
    if origin is None or run.imported:
        return None
    return f"the training began from {Path(origin).name}, whose {data_of_origin(trained_on(run))}"
