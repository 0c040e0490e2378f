"""The manifests that `data prepare` writes: the packaged ones with the paths of the files on this machine."""

from pathlib import Path

import yaml

from pipeline.data.prepare.benchmarks import Benchmark
from pipeline.data.prepare.layout import BenchmarkFolder
from pipeline.data.prepare.official import OfficialLists
from pipeline.data.prepare.settings import MaskKind
from rsmtdf_core.files import atomic_file
from rsmtdf_core.scenes.find import Dataset
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.scenes.pixel_masks import IndexMasks
from rsmtdf_core.scenes.split_settings import SplitName, SplitSpec

MASKS_REMEDY = (
    "download or correct the files named above; if the masks hold class ids, add --masks ids (from 0, 255 is no "
    "class) or --masks ids-from-1 (0 is no class)"
)

_ENCODINGS = {
    "ids": IndexMasks(encoding="indices", offset=0, ignore=(255,)),
    "ids-from-1": IndexMasks(encoding="indices", offset=1, ignore=(0,)),
}


def original_manifest(
    benchmark: Benchmark,
    name: str,
    layout: BenchmarkFolder,
    masks: MaskKind,
    notes: tuple[str, ...] = (),
) -> Manifest:
    """Return a packaged manifest for the tiles or published crops at `layout`."""
    packaged = load_manifest(name)
    changes: dict[str, object] = {"images": layout.images, "masks": layout.masks}
    if layout.cropped:
        published: MaskKind = "ids-from-1" if benchmark.crops_from_1 else "ids"
        masks = published if masks == "published" else masks
        changes |= {"window": None, "parent": layout.tile_fields}
    if masks != "published":
        changes["mask_encoding"] = _ENCODINGS[masks]
    return _changed(packaged, changes | {"notes": (*packaged.notes, *notes)})


def cut_manifest(
    benchmark: Benchmark, original: Manifest, windows: Dataset, notes: tuple[str, ...] = ()
) -> Manifest:
    """Return a manifest for the crops cut from tiles, with the same crops in each split.

    Args:
        benchmark: the benchmark, which names the crops.
        original: the manifest of the tiles.
        windows: the scenes of `original`; splits that draw single windows list them by their numbers.
        notes: notes to add to the manifest.
    """
    splits = {
        split: SplitSpec(
            scenes=tuple(crop_id(benchmark, scene.id) for scene in windows.splits[split])
        )
        if spec.by == "crop" or spec.scenes is not None
        else spec
        for split, spec in original.splits.items()
    }
    labeled = original.labeled and tuple(crop_id(benchmark, scene) for scene in original.labeled)
    return _changed(
        original,
        {
            "images": benchmark.crop_image.pattern,
            "masks": benchmark.crop_mask.pattern,
            "mask_encoding": _ENCODINGS["ids"],
            "window": None,
            "parent": original.fields,
            "splits": splits,
            "labeled": labeled,
            "notes": (*original.notes, *notes),
        },
    )


def crop_id(benchmark: Benchmark, window: str) -> str:
    """Return the id of the crop cut at a window of a tile."""
    tile, _, corner = window.rpartition("@")
    left, top = map(int, corner.split(","))
    return f"{tile}/{benchmark.number(left, top)}"


def listed_manifest(
    base: Manifest, lists: OfficialLists, ids: dict[str, tuple[str, ...]], notes: tuple[str, ...]
) -> Manifest:
    """Return `base` with the splits of official lists; `ids` has the scenes of each split and of "labeled"."""
    names: tuple[SplitName, ...] = ("train", "val", "test")
    return _changed(
        base,
        {
            "name": lists.name,
            "title": f"{base.title.partition(',')[0]}, official split by crop",
            "splits": {name: SplitSpec(scenes=ids[name]) for name in names},
            "labeled": ids["labeled"],
            "notes": notes,
        },
    )


def write_manifest(folder: Path, manifest: Manifest, root: Path) -> Path:
    """Write a manifest, and its lists into a folder of the same name next to it; return its path."""
    values = manifest.model_dump(mode="json", exclude_defaults=True)
    for split, spec in values["splits"].items():
        if "scenes" in spec:
            spec["scenes"] = _write_list(folder, manifest.name, split, spec["scenes"])
    if "labeled" in values:
        values["labeled"] = _write_list(folder, manifest.name, "labeled", values["labeled"])
    path = folder / f"{manifest.name}.yaml"
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)
    with atomic_file(path) as file:
        file.write(f"# Written by `rsmtdf data prepare`. The data root: {root}\n{text}".encode())
    return path


def _write_list(folder: Path, manifest: str, name: str, scenes: list[str]) -> str:
    path = f"{manifest}/{name}.txt"
    with atomic_file(folder / path) as file:
        file.write("".join(f"{scene}\n" for scene in scenes).encode())
    return path


def _changed(manifest: Manifest, changes: dict[str, object]) -> Manifest:
    """Return a validated copy with other values."""
    return Manifest.model_validate({**dict(manifest), **changes})
