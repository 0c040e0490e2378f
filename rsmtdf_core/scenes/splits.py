"""Describe a dataset's split in sentences, as scores are only comparable on the same split.

The published lists of Potsdam and DeepGlobe split by crop, so nearly every test crop has neighbors from its own tile
in the training split. That inflates scores, so reports mention it.
"""

from rsmtdf_core.scenes.find import Dataset, parent_of


def split_notes(dataset: Dataset) -> tuple[str, ...]:
    """Return sentences on the split, on tiles shared by test and training scenes, and the manifest's notes."""
    manifest = dataset.manifest
    rules = [
        f"{name} = {spec.describe()}"
        for name, spec in manifest.splits.items()
        if name in ("train", "test")
    ]
    notes = [f"split of manifest {manifest.name}: {'; '.join(rules)}"]
    if (manifest.window is not None or manifest.parent) and dataset.splits.get("test"):
        notes.append(_by_crop_or_by_tile(dataset))
    return (*notes, *manifest.notes)


def shared_with_training(dataset: Dataset) -> int:
    """Count the test scenes that share their parent, a tile or a raster with windows, with a training scene."""
    manifest = dataset.manifest
    training = {parent_of(manifest, scene.id) for scene in dataset.splits.get("train", ())}
    test = dataset.splits.get("test", ())
    return sum(parent_of(manifest, scene.id) in training for scene in test)


def _by_crop_or_by_tile(dataset: Dataset) -> str:
    if shared := shared_with_training(dataset):
        return (
            f"by crop: test crops share parent tiles with training crops "
            f"({shared} of {len(dataset.splits['test'])})"
        )
    return "by parent tile: no test crop shares its parent tile with a training crop"
