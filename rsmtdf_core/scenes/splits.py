"""A dataset's split in sentences: scores compare only where the split was the same.

The published lists of Potsdam and DeepGlobe split by crop, so nearly every test crop has neighbours from its own tile
in the training split. That flatters scores, and a reader has to know it.
"""

from rsmtdf_core.scenes.find import Dataset, parent_of


def split_notes(dataset: Dataset) -> tuple[str, ...]:
    """Which split was used, whether test scenes share tiles with training scenes, and the manifest's own notes."""
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
    """How many test scenes have a training scene from the same parent: a tile, or a raster with windows."""
    manifest = dataset.manifest
    learnt = {parent_of(manifest, scene.id) for scene in dataset.splits.get("train", ())}
    test = dataset.splits.get("test", ())
    return sum(parent_of(manifest, scene.id) in learnt for scene in test)


def _by_crop_or_by_tile(dataset: Dataset) -> str:
    if shared := shared_with_training(dataset):
        return (
            f"by crop: test crops share parent tiles with training crops "
            f"({shared} of {len(dataset.splits['test'])})"
        )
    return "by parent tile: no test crop shares its parent tile with a training crop"
