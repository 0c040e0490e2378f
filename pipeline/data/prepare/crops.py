"""Cut the 512-px crops of the published protocol, with class ids as masks; resumable.

The crops of a tile are written first, each complete or absent, and synced. Then `crops.jsonl` gets a line that names
the source files. A tile with such a line and all of its crops is not cut again.
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
from rsmtdf_core.scenes.find import in_threads
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.padding import padded
from rsmtdf_core.scenes.rasters import open_raster
from rsmtdf_core.scenes.reader import size_differs, unknown_values
from rsmtdf_core.scenes.scene import ScenePair

# Cutting a tile of 6000 px takes 300 MB, so more threads cost more memory than they save time.
_MOST_THREADS = 8
_SAVE: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".tif": ("TIFF", {}),  # images uncompressed, as the tiles are; masks see `_save`
    # Crops of JPEG images are JPEG again, as in the published lists; at this quality the loss is small.
    ".jpg": ("JPEG", {"quality": 98, "subsampling": 0}),
}


@dataclass(frozen=True)
class Cutter:
    """Cuts tiles into crops.

    Attributes:
        benchmark: the benchmark, which names the crops.
        manifest: the manifest of the tiles, which has the encoding of their masks.
        root: the data root of the tiles.
        to: the folder for the crops.
        padding: the class id of crop pixels outside their tile.
    """

    benchmark: Benchmark
    manifest: Manifest
    root: Path
    to: Path
    padding: int

    def cut(self, pair: ScenePair) -> int:
        """Write all crops of a tile and return the number of mask pixels that match no class.

        Raises:
            MissingFileError, DataError: If a file is missing, unreadable or does not fit the manifest.
            WriteError: If a crop cannot be written.
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
                _save(self.to / image_path, padded(row[:, left : left + CROP], CROP, 0))
                if ids is not None:
                    part = ids[top : top + CROP, left : left + CROP]
                    _save(self.to / mask_path, padded(part, CROP, self.padding))
        sync_files(self.files(pair))
        return unknown

    def _class_ids(self, mask: Path, image: tuple[int, int]) -> tuple[Pixels, int]:
        """Return the class ids of a whole mask and the number of pixels that match no class.

        Args:
            mask: the mask file.
            image: width and height of its image, px.
        """
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
        """Return the image and mask path of each crop of a tile, below `to`."""
        names = self.benchmark.crop_image.pattern, self.benchmark.crop_mask.pattern
        return [
            (
                names[0].format(**pair.fields, crop=number),
                names[1].format(**pair.fields, crop=number),
            )
            for number in range(1, self.benchmark.crops + 1)
        ]

    def files(self, pair: ScenePair) -> list[Path]:
        """Return the files of all crops of a tile."""
        names = [image for image, _ in self.paths(pair)]
        if pair.mask is not None:
            names += [mask for _, mask in self.paths(pair)]
        return [self.to / name for name in names]

    def source(self, pair: ScenePair) -> dict[str, list[int]]:
        """Return size and modification time of a tile's files, which show whether they changed since the cut."""
        states = {path: (self.root / path).stat() for path in (pair.image, pair.mask) if path}
        return {path: [state.st_size, state.st_mtime_ns] for path, state in states.items()}


def _require_same_size(mask: tuple[int, int], image: tuple[int, int]) -> None:
    if mask != image:
        raise DataError(size_differs(mask[::-1], image[::-1]))


def cut_all(cutter: Cutter, pairs: Sequence[ScenePair], reporter: Reporter) -> int:
    """Cut every tile that is not cut yet, and return the number of mask pixels that match no class.

    Raises:
        DataError: If a tile is faulty, or the folder has crops that were cut with other settings.
        WriteError: If a crop or the ledger cannot be written.
    """
    cutting = {
        "benchmark": cutter.benchmark.name,
        "padding": cutter.padding,
        "masks": cutter.manifest.mask_encoding.model_dump(mode="json"),
    }
    ledger = cutter.to / LEDGER
    earlier = read_ledger(ledger, cutting)
    ready = {pair.id for pair in pairs if _is_cut(cutter, pair, earlier)}
    waiting = [pair for pair in pairs if pair.id not in ready]
    cut = [earlier[pair.id] for pair in pairs if pair.id in ready]
    write_ledger(ledger, cutting, cut)  # drops a line that an interruption cut short
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


def _is_cut(cutter: Cutter, pair: ScenePair, earlier: Mapping[str, CutTile]) -> bool:
    """Whether all crops of a tile exist and its files are unchanged since the cut."""
    tile = earlier.get(pair.id)
    return (
        tile is not None
        and tile.source == cutter.source(pair)
        and all(path.is_file() for path in cutter.files(pair))
    )


def _save(path: Path, pixels: Pixels) -> None:
    kind, options = _SAVE[path.suffix]
    if kind == "TIFF" and pixels.ndim == 2:
        options = {"compression": "tiff_deflate"}
    encoded = BytesIO()  # Pillow hides the system's reason if it cannot write a file
    Image.fromarray(pixels).save(encoded, kind, **options)
    with atomic_path(path, sync=False) as temporary, naming(temporary):
        temporary.write_bytes(encoded.getbuffer())
