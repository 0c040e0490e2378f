"""Describe a dataset's split in sentences, as scores are only comparable on the same split.

The published lists of Potsdam and DeepGlobe split by crop, so nearly every test crop has neighbors from its own tile
in the training split. That inflates scores, so reports mention it.
"""

from collections.abc import Mapping

from rsmtdf_core.scenes.find import Dataset
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.members import parent_of
from rsmtdf_core.scenes.split_settings import SplitName
from rsmtdf_core.words import counted


def split_notes(dataset: Dataset) -> tuple[str, ...]:
    """Return sentences on the split, on tiles shared by test and training scenes, and the manifest's notes."""
    manifest = dataset.manifest
    rules = [
        f"{name} = {spec.describe()}"
        for name, spec in manifest.splits.items()
        if name in ("train", "test")
    ]
    notes = [f"split of manifest {manifest.name}: {'; '.join(rules)}"]
    notes += block_notes(manifest, dataset.left_out)
    notes += random_notes(manifest)
    test = manifest.splits.get("test")
    by_block = test is not None and test.by == "block"
    if not by_block and (manifest.window or manifest.parent) and dataset.splits.get("test"):
        notes.append(_by_crop_or_by_tile(dataset))
    return (*notes, *manifest.notes)


def shared_with_training(dataset: Dataset) -> int:
    """Count the test scenes that share their parent, a tile or a raster with windows, with a training scene."""
    manifest = dataset.manifest
    training = {parent_of(manifest, scene.id) for scene in dataset.splits.get("train", ())}
    test = dataset.splits.get("test", ())
    return sum(parent_of(manifest, scene.id) in training for scene in test)


def block_notes(manifest: Manifest, left_out: Mapping[SplitName, int]) -> tuple[str, ...]:
    """Return a sentence on the scenes that are left out between blocks; empty if no split is drawn by block.

    Args:
        manifest: the manifest.
        left_out: number of scenes of each split by block that are too near to a block of another split.
    """
    if manifest.blocks is None:
        return ()
    counts = ", ".join(f"{count:,} of {split}" for split, count in left_out.items() if count)
    note = f"by block: {manifest.blocks.describe()}"
    return (
        f"{note}; scenes too near to a block of another split are in no split: {counts or 'none'}",
    )


def random_notes(manifest: Manifest) -> tuple[str, ...]:
    """Return a sentence on training windows at random positions; empty for windows of the grid."""
    if manifest.window is None or manifest.window.random is None:
        return ()
    return (
        f"training: up to {manifest.window.random.describe()}, in the area of the split's windows",
    )


def _by_crop_or_by_tile(dataset: Dataset) -> str:
    if shared := shared_with_training(dataset):
        return (
            f"by crop: test crops share parent tiles with training crops "
            f"({shared} of {len(dataset.splits['test'])})"
        )
    return "by parent tile: no test crop shares its parent tile with a training crop"


def imported_notes(
    dataset: Dataset, split: SplitName, trained_on: Manifest | None
) -> tuple[str, ...]:
    """Return sentences on the scenes that score an imported model, and on its training data.

    Args:
        dataset: the scenes.
        split: the scored split.
        trained_on: lists the training scenes of the model; None if they are unknown.
    """
    manifest = dataset.manifest
    scenes = f"{split} of manifest {manifest.name}: {manifest.splits[split].describe()}"
    data = f"imported from an official checkpoint: its {data_of_origin(trained_on)}"
    shared = () if trained_on is None else (shared_with(dataset, split, trained_on),)
    return (scenes, data, *shared, *manifest.notes)


def data_of_origin(trained_on: Manifest | None) -> str:
    """Describe the training data of a model from another program; None if they are unknown."""
    if trained_on is None:
        return "training data are unknown and may include these scenes"
    listed = trained_on.splits["train"].scenes or ()
    return (
        f"training data are, as named with --splits, the {counted(len(listed), 'scene')} of manifest "
        f"{trained_on.name}"
    )


def shared_with(dataset: Dataset, split: SplitName, trained_on: Manifest) -> str:
    """Count the scenes that the model was trained on, and those of parents with such scenes."""
    listed = set(trained_on.splits["train"].scenes or ())
    parents = {parent_of(trained_on, scene) for scene in listed}
    ids = [scene.id for scene in dataset.splits[split]]
    among = sum(scene in listed for scene in ids)
    near = sum(parent_of(dataset.manifest, scene) in parents for scene in ids)
    if not near:
        return f"no {split} scene shares its image or tile with them"
    scored = counted(len(ids), f"{split} scene")
    return f"{near} of {scored} share an image or tile with them, and {among} are among them"
