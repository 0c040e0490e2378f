"""The files that a prediction becomes, written block by block or, as pictures and polygons, from the map."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from pipeline.predict.inputs import Job, OutputKind
from rsmtdf_core.arrays import Pixels
from rsmtdf_core.charts.panels import PanelRow, panel_picture
from rsmtdf_core.files import atomic_file
from rsmtdf_core.maps.geotiff import MapLayer, is_readable, raster_file
from rsmtdf_core.maps.polygons import is_closed, write_polygons
from rsmtdf_core.scenes.bands import SHOWN, BandSettings
from rsmtdf_core.scenes.files import read_image
from rsmtdf_core.scenes.images.decoder import Valid
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.manifest import Manifest

STEPS = 254  # a probability p is stored as round(254 p); 255 is no data
NO_DATA = 255
BY_BLOCKS: tuple[OutputKind, ...] = ("map", "probabilities", "confidence")


class Writer(Protocol):
    """Takes the blocks of a file from the top downward, each row of them from left to right."""

    def write(self, top: int, left: int, block: Pixels) -> None:
        """Add a block, uint8 [bands, rows, columns], at its place."""
        ...


def open_layer(
    job: Job, kind: OutputKind, frame: Frame, manifest: Manifest, *, cog: bool
) -> AbstractContextManager[Writer]:
    """A writer for one of `BY_BLOCKS`; its file appears whole when the context ends."""
    if kind == "map" and not job.is_raster:
        return _png_file(job.files[kind], (frame.height, frame.width), manifest)
    return raster_file(job.files[kind], frame, _layer(kind, manifest), cog=cog)


def layer_block(kind: OutputKind, logits: Tensor, valid: Valid, ignore_id: int) -> Pixels:
    """A block of one of `BY_BLOCKS`, uint8 [bands, rows, columns].

    Args:
        kind: which.
        logits: float32 [C, rows, columns].
        valid: where the input has data, bool [rows, columns].
        ignore_id: stands in the map where it has none.
    """
    if kind == "map":
        ids: Pixels = logits.numpy().argmax(axis=0, keepdims=True).astype(np.uint8)
        ids[:, ~valid] = ignore_id
        return ids
    probabilities = logits.softmax(dim=0)
    if kind == "confidence":
        probabilities = probabilities.amax(dim=0, keepdim=True)
    stored: Pixels = (probabilities * STEPS).round().numpy().astype(np.uint8)
    stored[:, ~valid] = NO_DATA
    return stored


def derive(job: Job, kind: OutputKind, manifest: Manifest, bands: BandSettings | None) -> None:
    """Write what is made from a map that is whole: a panel to look at, or polygons."""
    if kind == "polygons":
        write_polygons(job.files[kind], job.files["map"], manifest.class_names)
        return
    with Image.open(job.files["map"]) as picture:
        ids = np.asarray(picture)
    row = PanelRow(job.source.stem, read_image(job.source, bands)[..., :SHOWN], None, ids)
    panel_picture(job.files[kind], [row], manifest)


def is_whole(path: Path) -> bool:
    """Whether a file of an earlier prediction can be read to its end."""
    return is_closed(path) if path.suffix == ".geojson" else is_readable(path)


def _layer(kind: OutputKind, manifest: Manifest) -> MapLayer:
    if kind == "map":
        colors = {number: tuple(color) for number, color in enumerate(manifest.palette.tolist())}
        names = {f"class_{number}": name for number, name in enumerate(manifest.class_names)}
        return MapLayer(["class"], manifest.ignore_id, colors, tags=names)
    bands = manifest.class_names if kind == "probabilities" else ("confidence",)
    return MapLayer(bands, NO_DATA, scale=1 / STEPS)


class _Collector:
    """A picture that is small enough to be kept whole."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.ids = np.empty(size, np.uint8)

    def write(self, top: int, left: int, block: Pixels) -> None:
        """Add a block, uint8 [1, rows, columns], at its place."""
        _, rows, columns = block.shape
        self.ids[top : top + rows, left : left + columns] = block[0]


@contextmanager
def _png_file(path: Path, size: tuple[int, int], manifest: Manifest) -> Iterator[Writer]:
    collector = _Collector(size)
    yield collector
    picture = Image.fromarray(collector.ids)
    # All 256 colours: of fewer Pillow would write fewer bits, and the id of no data has eight.
    picture.putpalette(manifest.palette.tobytes().ljust(3 * 256, b"\0"))
    with atomic_file(path) as file:
        picture.save(file, format="PNG")
