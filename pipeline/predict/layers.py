"""Writes the output files of a prediction: rasters block by block, others from the finished map."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from pipeline.predict.inputs import Job, OutputKind
from pipeline.predict.members import Block
from pipeline.predict.small import small_image, small_map
from pipeline.predict.stac import is_item
from rsmtdf_core.arrays import Pixels
from rsmtdf_core.charts.panels import PanelRow, panel_picture
from rsmtdf_core.files import atomic_file
from rsmtdf_core.maps.geopackage import is_geopackage, write_geopackage
from rsmtdf_core.maps.geotiff import MapLayer, is_readable, raster_file
from rsmtdf_core.maps.polygons import Generalization, is_closed, write_polygons
from rsmtdf_core.maps.style import is_styled, write_style
from rsmtdf_core.scenes.bands import BandSettings
from rsmtdf_core.scenes.images.decoder import Valid
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.manifest import Manifest

STEPS = 254  # a probability p is stored as round(254 p); 255 means no data
NO_DATA = 255
BY_BLOCKS: tuple[OutputKind, ...] = ("map", "probabilities", "confidence", "disagreement")


class Writer(Protocol):
    """Writes the blocks of a file, row by row from the top and from left to right."""

    def write(self, top: int, left: int, block: Pixels) -> None:
        """Write a block, uint8 [bands, rows, columns], at a position in px."""
        ...


def open_layer(
    job: Job,
    kind: OutputKind,
    frame: Frame,
    manifest: Manifest,
    *,
    cog: bool,
    tags: Mapping[str, str] | None = None,
) -> AbstractContextManager[Writer]:
    """Open a writer for a kind in `BY_BLOCKS`. The file appears when the context ends without an error.

    GeoTIFFs have `tags` as metadata.
    """
    if kind == "map" and not job.is_raster:
        return _png_file(job.files[kind], (frame.height, frame.width), manifest)
    return raster_file(job.files[kind], frame, _layer(kind, manifest, tags or {}), cog=cog)


def layer_block(
    kind: OutputKind, block: Block, valid: Valid, ignore_id: int, temperature: float = 1.0
) -> Pixels:
    """Compute a block of a file, uint8 [bands, rows, columns].

    Args:
        kind: a kind in `BY_BLOCKS`.
        block: the prediction.
        valid: mask of pixels with data, bool [rows, columns].
        ignore_id: value of the map at pixels without data.
        temperature: divisor of the logits in probabilities and confidences.
    """
    if kind == "map":
        ids: Pixels = block.logits.numpy().argmax(axis=0, keepdims=True).astype(np.uint8)
        ids[:, ~valid] = ignore_id
        return ids
    stored: Pixels = (_shares(kind, block, temperature) * STEPS).round().numpy().astype(np.uint8)
    stored[:, ~valid] = NO_DATA
    return stored


def _shares(kind: OutputKind, block: Block, temperature: float) -> Tensor:
    """Return the values of a layer, float32 [bands, rows, columns] in [0, 1]."""
    if kind == "disagreement":
        return block.disagreement[None]
    probabilities = (block.logits / temperature).softmax(dim=0)
    return probabilities.amax(dim=0, keepdim=True) if kind == "confidence" else probabilities


def derive(
    job: Job,
    kind: OutputKind,
    manifest: Manifest,
    bands: BandSettings | None,
    detail: Generalization,
) -> None:
    """Write a panel, a style or polygons from the finished map.

    Args:
        job: the input and its output files.
        kind: `panel`, `style`, `polygons` or `geopackage`.
        manifest: names and colors of the classes.
        bands: the bands that were read.
        detail: how much detail polygons show.
    """
    path, names = job.files[kind], manifest.class_names
    match kind:
        case "polygons":
            write_polygons(path, job.files["map"], names, detail)
        case "geopackage":
            write_geopackage(path, job.files["map"], job.files["confidence"], names, detail)
        case "style":
            write_style(path, names, _colors(manifest))
        case "panel":
            image = small_image(job.source, bands)
            row = PanelRow(job.files["map"].stem, image, None, small_map(job.files["map"]))
            panel_picture(path, [row], manifest)
        case _:
            raise AssertionError(kind)


def is_whole(path: Path) -> bool:
    """Whether a file of an earlier prediction is complete and readable."""
    checks = {".geojson": is_closed, ".gpkg": is_geopackage, ".qml": is_styled, ".json": is_item}
    return checks.get(path.suffix, is_readable)(path)


def _colors(manifest: Manifest) -> list[tuple[int, int, int]]:
    return [(red, green, blue) for red, green, blue in manifest.palette.tolist()]


def _layer(kind: OutputKind, manifest: Manifest, tags: Mapping[str, str]) -> MapLayer:
    if kind == "map":
        colors = dict(enumerate(_colors(manifest)))
        names = {f"class_{number}": name for number, name in enumerate(manifest.class_names)}
        return MapLayer(["class"], manifest.ignore_id, colors, tags={**names, **tags})
    bands = manifest.class_names if kind == "probabilities" else (kind,)
    return MapLayer(bands, NO_DATA, scale=1 / STEPS, tags=tags)


class _Collector:
    """Collects a map that is small enough to be kept in memory."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.ids = np.empty(size, np.uint8)

    def write(self, top: int, left: int, block: Pixels) -> None:
        """Copy a block, uint8 [1, rows, columns], to its position."""
        _, rows, columns = block.shape
        self.ids[top : top + rows, left : left + columns] = block[0]


@contextmanager
def _png_file(path: Path, size: tuple[int, int], manifest: Manifest) -> Iterator[Writer]:
    collector = _Collector(size)
    yield collector
    picture = Image.fromarray(collector.ids)
    # With fewer than 256 colors Pillow would write fewer bits, but the ignore id needs eight.
    picture.putpalette(manifest.palette.tobytes().ljust(3 * 256, b"\0"))
    with atomic_file(path) as file:
        picture.save(file, format="PNG")
