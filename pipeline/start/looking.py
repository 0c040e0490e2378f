"""Look at the scenes, the machine, and the weights that can be had."""

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

import torch
from dask.system import CPU_COUNT
from distributed.system import MEMORY_LIMIT

from pipeline.start.choosing import STUDENTS, TEACHERS
from pipeline.start.values import Data, Machine
from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.find import Dataset
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.weights.hub import is_available
from rsmtdf_core.weights.timm_models import hub_file

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def look_at_data(dataset: Dataset) -> Data:
    """Count and measure the scenes of a dataset.

    Raises:
        DataError: If no training scene has a mask.
    """
    labeled, unlabeled = training_scenes(dataset)
    train = (*labeled, *unlabeled)
    if not labeled:
        raise DataError(
            f"none of {len(train)} training scenes has a mask to learn from",
            where=dataset.root,
            remedy="add masks to some of the images, or correct the pattern `masks` of the manifest",
        )
    val, test = (list(_masked(dataset.splits.get(split, ()))) for split in ("val", "test"))
    return Data(
        side=round(statistics.median(min(scene.width, scene.height) for scene in train)),
        labeled=len(labeled),
        unlabeled=len(unlabeled),
        val=len(val),
        val_megapixels=sum(scene.width * scene.height for scene in val) / 1e6,
        test=len(test),
    )


def training_scenes(dataset: Dataset) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """Return the training scenes whose masks are used, and the others: all masks, or those that the manifest lists."""
    listed = dataset.manifest.labeled
    labeled = {
        scene.id
        for scene in dataset.splits["train"]
        if scene.mask is not None and (listed is None or scene.id in listed)
    }
    parts = [
        tuple(scene for scene in dataset.splits["train"] if (scene.id in labeled) == used)
        for used in (True, False)
    ]
    return parts[0], parts[1]


def _masked(scenes: tuple[Scene, ...]) -> Iterator[Scene]:
    return (scene for scene in scenes if scene.mask is not None)


def look_at_machine(cache: Path) -> Machine:
    """Read the training device, its free memory, and the free disk of the cache's folder."""
    folder = next(path for path in (cache.absolute(), *cache.absolute().parents) if path.is_dir())
    disk = shutil.disk_usage(folder).free
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        name, bf16 = torch.cuda.get_device_name(), torch.cuda.is_bf16_supported(False)
        return Machine(device="cuda", name=name, cores=CPU_COUNT, memory=free, bf16=bf16, disk=disk)
    name = f"a CPU with {CPU_COUNT} cores"
    memory = min(MEMORY_LIMIT, free_memory())
    return Machine(device="cpu", name=name, cores=CPU_COUNT, memory=memory, bf16=False, disk=disk)


def free_memory() -> int:
    """Return the bytes of memory that programs can still take."""
    import psutil

    return int(psutil.virtual_memory().available)


def find_weights(folder: Path | None) -> dict[str, str]:
    """Return `weights` of the config for each model of the choice whose weights can be had.

    Args:
        folder: folder with weights files; a file is known by the model in its name. None looks only at the hub.

    Raises:
        MissingFileError: If the folder is missing.
    """
    if folder is not None and not folder.is_dir():
        raise MissingFileError("the folder of weights files is missing", where=folder)
    files = sorted(folder.iterdir()) if folder is not None else []
    models = {kind.encoder: kind.files for kind in STUDENTS}
    models |= {kind.model: kind.files for kind in TEACHERS}
    weights: dict[str, str] = {}
    for model, words in models.items():
        local = next(
            (
                path
                for path in files
                if path.suffix in _SUFFIXES and any(word in path.name for word in words)
            ),
            None,
        )
        if local is not None:
            weights[model] = str(local.absolute())
        elif is_available(*hub_file(model)):
            weights[model] = "hub"
    return weights
