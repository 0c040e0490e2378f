"""Cuts the 512-px crops of the published protocol, with class ids as masks; may be stopped and goes on.

A tile's crops are written first, each whole or absent, and synced, then a line in `crops.jsonl` that says from which
files. A tile with such a line whose crops are all there is not cut again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.data.prepare.benchmarks import CROP, Benchmark
from pipeline.data.prepare.ledger import LEDGER, CutTile, append_tile, read_ledger, write_ledger
from pipeline.data.prepare.manifests import MASKS_REMEDY
from pipeline.reporter import Reporter
from rsmtdf_core.arrays import Pixels
from rsmtdf_core.errors import DataError
from rsmtdf_core.files import atomic_path, sync_files
from rsmtdf_core.refusals import naming, writing
from rsmtdf_core.scenes.files import open_mask, strips
from rsmtdf_core.scenes.find import ScenePair, in_threads
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.scenes.reader import size_differs, unknown_values

# A tile of 6000 px takes 300 MB while it is cut, so more threads cost more than they bring.
_MOST_THREADS = 8
_SAVE: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".tif": ("TIFF", {}),  # images uncompressed, as the tiles are; masks see `_save`
    # Crops of JPEG images become JPEG again, as in the published lists; at this quality the loss is small.
    ".jpg": ("JPEG", {"quality": 98, "subsampling": 0}),
}


@dataclass(frozen=True)
class Cutter:
    """How tiles are cut.

    Attributes:
        benchmark: names the crops.
        manifest: the tiles' encoding of masks.
        root: the tiles' data root.
        to: where crops are written.
        padding: the class id where a crop reaches over its tile.
    """

    benchmark: Benchmark
    manifest: Manifest
    root: Path
    to: Path
    padding: int

    def cut(self, pair: ScenePair) -> int:
        """Write all crops of a tile; how many pixels of its mask match no class.

        Raises:
            MissingFileError, DataError: a file is missing, unreadable or not what the manifest says.
            WriteError: a crop cannot be written.
        """
        with open_raster(self.root / pair.image) as raster:
            size = raster.image.size
            ids, unknown = None, 0
            if pair.mask is not None:
                ids, unknown = self._class_ids(self.root / pair.mask, size)
            for number, (image_path, mask_path) in enumerate(self.paths(pair), 1):
                left, top = self.benchmark.corner(number)
                if left == 0:  # a tile is read by rows of crops
                    row, _ = raster.read(top, 0, min(CROP, size[1] - top), size[0])
                _save(self.to / image_path, _padded(row[:, left : left + CROP], 0))
                if ids is not None:
                    part = ids[top : top + CROP, left : left + CROP]
                    _save(self.to / mask_path, _padded(part, self.padding))
        sync_files(self.files(pair))
        return unknown

    def _class_ids(self, mask: Path, image: tuple[int, int]) -> tuple[Pixels, int]:
        """Class ids of a whole mask, and how many of its pixels match no class; `image` is its image's size."""
        ids = np.empty(image[::-1], np.uint8)
        unknown: Counter[str] = Counter()
        try:
            with open_mask(mask, self.manifest) as file:
                _require_same_size(file.size, image)
                for part in strips(file.size):
                    rows = slice(part[0], part[0] + part[2])
                    ids[rows], strange = file.class_ids(part)
                    unknown.update(strange)
        except DataError as error:
            raise DataError(error.what, where=mask, remedy=MASKS_REMEDY) from None
        if unknown and not self.manifest.mask_encoding.tolerant:
            raise DataError(unknown_values(unknown), where=mask, remedy=MASKS_REMEDY)
        return ids, unknown.total()

    def paths(self, pair: ScenePair) -> list[tuple[str, str]]:
        """Image and mask path of each crop of a tile, below `to`."""
        names = self.benchmark.crop_image.pattern, self.benchmark.crop_mask.pattern
        return [
            (
                names[0].format(**pair.fields, crop=number),
                names[1].format(**pair.fields, crop=number),
            )
            for number in range(1, self.benchmark.crops + 1)
        ]

    def files(self, pair: ScenePair) -> list[Path]:
        """All files that a tile becomes."""
        names = [image for image, _ in self.paths(pair)]
        if pair.mask is not None:
            names += [mask for _, mask in self.paths(pair)]
        return [self.to / name for name in names]

    def source(self, pair: ScenePair) -> dict[str, list[int]]:
        """Size and time of a tile's files, which tell whether they are those that were cut."""
        states = {path: (self.root / path).stat() for path in (pair.image, pair.mask) if path}
        return {path: [state.st_size, state.st_mtime_ns] for path, state in states.items()}


def _require_same_size(mask: tuple[int, int], image: tuple[int, int]) -> None:
    if mask != image:
        raise DataError(size_differs(mask[::-1], image[::-1]))


def cut_all(cutter: Cutter, pairs: Sequence[ScenePair], reporter: Reporter) -> int:
    """Cut every tile that is not cut yet; how many pixels of all masks match no class.

    Raises:
        DataError: a tile is wrong, or the folder has crops that were cut in another way.
        WriteError: a crop or the ledger cannot be written.
    """
    how = {
        "benchmark": cutter.benchmark.name,
        "padding": cutter.padding,
        "masks": cutter.manifest.mask_encoding.model_dump(mode="json"),
    }
    ledger = cutter.to / LEDGER
    known = read_ledger(ledger, how)
    ready = {pair.id for pair in pairs if _is_cut(cutter, pair, known)}
    waiting = [pair for pair in pairs if pair.id not in ready]
    cut = [known[pair.id] for pair in pairs if pair.id in ready]
    write_ledger(ledger, how, cut)  # without a line that a kill cut short
    threads = min(_MOST_THREADS, cpu_count() or 1)
    with (
        reporter.bar("cutting tiles", len(pairs), len(cut)) as bar,
        writing(ledger),
        ledger.open("ab", buffering=0) as file,
    ):
        for pair, unknown in zip(waiting, in_threads(cutter.cut, waiting, threads), strict=True):
            cut.append(CutTile(pair.id, cutter.source(pair), unknown))
            with naming(ledger):
                append_tile(file, cut[-1])
            bar.advance(note=pair.id)
    return sum(tile.unknown for tile in cut)


def _is_cut(cutter: Cutter, pair: ScenePair, known: Mapping[str, CutTile]) -> bool:
    """Whether all crops of a tile are there, cut from the files that are there now."""
    tile = known.get(pair.id)
    return (
        tile is not None
        and tile.source == cutter.source(pair)
        and all(path.is_file() for path in cutter.files(pair))
    )


def _padded(part: Pixels, padding: int) -> Pixels:
    """A part of a tile [h, w, ...] filled up at its right and bottom to CROP x CROP."""
    crop = np.full((CROP, CROP, *part.shape[2:]), padding, np.uint8)
    crop[: part.shape[0], : part.shape[1]] = part
    return crop


def _save(path: Path, pixels: Pixels) -> None:
    kind, options = _SAVE[path.suffix]
    if kind == "TIFF" and pixels.ndim == 2:
        options = {"compression": "tiff_deflate"}
    encoded = BytesIO()  # writing a file, Pillow passes on no reason of the system
    Image.fromarray(pixels).save(encoded, kind, **options)
    with atomic_path(path, sync=False) as temporary:
        temporary.write_bytes(encoded.getbuffer())
