"""The vector of a query: of a scene from its cached tokens, or of an image from the teacher (tests: test_search.py)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pipeline.archive.archive import Archive
from pipeline.archive.vectors import scene_vectors
from pipeline.reporter import Reporter
from rsmtdf_core.arrays import Doubles, Mask, Pixels, Rows
from rsmtdf_core.errors import ConfigError, DataError, MissingFileError
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.scenes.images.source import Source
from rsmtdf_core.scenes.rasters import Raster, open_raster
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.teachers.teacher import Teacher, load_teacher
from rsmtdf_core.validation import suggestion
from rsmtdf_core.views.view import Box

_BOX = re.compile(r"^(.+):(\d+),(\d+),(\d+),(\d+)$")
_MOST_WINDOWS = 64  # windows of a large query that the teacher sees, evenly spaced
_LARGEST_PICTURE = 2**24  # pixels of a query that a contact sheet shows


@dataclass(frozen=True)
class Query:
    """The image or scene that a search compares with.

    Attributes:
        name: description of the query.
        vector: mean token, float64 [D].
        picture: its pixels, uint8 [H, W, 3]; None without the image.
        scene: the number of its scene in the archive; None for another image.
    """

    name: str
    vector: Doubles
    picture: Pixels | None
    scene: int | None = None


class _Place(NamedTuple):
    """A range of pixels along an axis."""

    start: int
    stop: int


def parse_like(text: str) -> tuple[str, Box | None]:
    """Split `NAME:x,y,w,h` into the name and the box in px; None without a box."""
    match = _BOX.fullmatch(text)
    if match is None:
        return text, None
    left, top, width, height = (int(number) for number in match.groups()[1:])
    return match[1], Box(left, top, width, height)


def find_query(
    archive: Archive, like: str, means: Doubles, counts: Rows, reporter: Reporter
) -> Query:
    """Compute the vector of a scene of the archive from its cached tokens, or of an image file by the teacher.

    Args:
        archive: the archive.
        like: id of a scene; or the path of an image, or an id, with an optional box `:x,y,w,h` in px.
        means: the mean token of each view, float64 [views, D].
        counts: number of tokens of each mean, int64 [views].
        reporter: shows messages.

    Raises:
        MissingFileError: If there is neither such a scene nor such a file.
        ConfigError: If the teacher is needed and only a store was given.
        DataError: If the box exceeds the image.
    """
    numbers = {key.id: number for number, key in enumerate(archive.scenes)}
    if like in numbers:
        return _of_scene(archive, numbers[like], means, counts)
    name, box = parse_like(like)
    scene = archive.found.get(name)
    if scene is not None and archive.experiment is not None:
        source = scene.source(archive.experiment.dataset.root)
        if box is not None and scene.window is not None:
            offset = scene.window
            _require_inside(box, scene.width, scene.height, like)
            box = Box(box.left + offset.left, box.top + offset.top, box.width, box.height)
    else:
        source = Path(name)
        if not source.is_file():
            near = suggestion(name, numbers)
            raise MissingFileError(
                f"{name} is neither a file nor one of the archive's {len(numbers):,} scenes{near}",
                where="--like",
                remedy="give an image, IMAGE:x,y,w,h, or a scene id such as "
                f"{min(numbers, default='none')}",
            )
    return _of_image(archive, source, box, like, numbers.get(name), reporter)


def _of_scene(archive: Archive, number: int, means: Doubles, counts: Rows) -> Query:
    key, rows = archive.scenes[number], np.flatnonzero(archive.scene_of == number)
    if not counts[rows].sum():
        raise DataError(
            "the archive has no tokens of this scene", where=key.id, remedy="give its image instead"
        )
    vector = scene_vectors(means[rows], counts[rows], np.zeros(len(rows), np.int64), 1)[0]
    picture = None
    if archive.experiment is not None and key.id in archive.found:
        picture = SceneReader(archive.experiment.dataset).picture(archive.found[key.id])
    return Query(f"scene {key.id}", vector, picture, number)


def _of_image(
    archive: Archive,
    source: Source,
    box: Box | None,
    name: str,
    scene: int | None,
    reporter: Reporter,
) -> Query:
    if archive.experiment is None or archive.teacher is None:
        raise ConfigError(
            "an image needs the teacher of the store, which only a config names",
            where="--like",
            remedy="give the config in place of the store, or the id of a scene of the archive",
        )
    config = archive.experiment.config
    with open_raster(source, archive.experiment.dataset.manifest.bands) as raster:
        region = box or Box(0, 0, raster.frame.width, raster.frame.height)
        _require_inside(region, raster.frame.width, raster.frame.height, name)
        reporter.say(f"the teacher {archive.teacher.name} computes the tokens of the query")
        cuda = config.runtime.device != "cpu" and torch.cuda.is_available()
        teacher = load_teacher(archive.teacher, archive.settings.crop, "cuda" if cuda else "cpu")
        vector = image_vector(raster, region, teacher)
        picture = None
        if region.width * region.height <= _LARGEST_PICTURE:
            picture = raster.read(region.top, region.left, region.height, region.width)[0]
    return Query(name, vector, None if picture is None else picture[..., :SHOWN], scene)


def _require_inside(box: Box, width: int, height: int, where: str) -> None:
    if not (box.width and box.height) or (
        box.left + box.width > width or box.top + box.height > height
    ):
        raise DataError(
            f"the box x {box.left}, y {box.top}, w {box.width}, h {box.height} is not inside the image of "
            f"{width} x {height} px",
            where=where,
            remedy="give x,y,w,h in px, with x + w and y + h no larger than the image",
        )


def image_vector(raster: Raster, region: Box, teacher: Teacher) -> Doubles:
    """Return the mean token of a region of an image, float64 [D].

    The teacher sees windows of its own size, without resizing, and with the pixels around a smaller region. Tokens
    whose centers are in the region and have data count. Of a large region it sees 64 windows.

    Raises:
        DataError: If the region has no data.
    """
    total, count = np.zeros(teacher.shape.channels), 0
    for top, left in _windows(region, raster.frame.height, raster.frame.width, teacher.crop):
        pixels, data = _padded(raster, top, left, teacher.crop)
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
        tokens = teacher.tokens(image)[0].double().cpu().numpy()
        kept = _cells(region, top, left, data, (tokens.shape[0], tokens.shape[1]))
        total += tokens[kept].sum(axis=0)
        count += int(kept.sum())
    if not count:
        raise DataError("the region has no pixels with data", where=raster.image.path)
    return total / count


def _windows(region: Box, height: int, width: int, crop: int) -> Iterator[tuple[int, int]]:
    """Yield the top and left of windows of `crop` px that cover a region, at most `_MOST_WINDOWS`."""
    tops = _starts(_Place(region.top, region.top + region.height), height, crop)
    lefts = _starts(_Place(region.left, region.left + region.width), width, crop)
    windows = [(top, left) for top in tops for left in lefts]
    if len(windows) > _MOST_WINDOWS:
        chosen = np.linspace(0, len(windows) - 1, _MOST_WINDOWS).round().astype(int).tolist()
        windows = [windows[index] for index in chosen]
    yield from windows


def _starts(place: _Place, size: int, crop: int) -> list[int]:
    """Return the starts of windows along an axis that cover a range; a single one has the range in its middle."""
    length = place.stop - place.start
    if length <= crop:
        middle = (place.start + place.stop - crop) // 2
        return [max(0, min(middle, size - crop))]
    count = -(-length // crop)
    return [round(float(start)) for start in np.linspace(place.start, place.stop - crop, count)]


def _padded(raster: Raster, top: int, left: int, crop: int) -> tuple[Pixels, Mask]:
    """Read a window, uint8 [crop, crop, 3], and where it has data, bool [crop, crop]; zeros beyond the image."""
    height = min(crop, raster.frame.height - top)
    width = min(crop, raster.frame.width - left)
    pixels, data = np.zeros((crop, crop, SHOWN), np.uint8), np.zeros((crop, crop), np.bool_)
    shown, valid = raster.read(top, left, height, width)
    pixels[:height, :width], data[:height, :width] = shown[..., :SHOWN], valid
    return pixels, data


def _cells(region: Box, top: int, left: int, data: Mask, grid: tuple[int, int]) -> Mask:
    """Return the cells of a window whose centers are in a region and have data; of a tiny region, its middle cell."""
    crop = len(data)
    rows, columns = ((2 * np.arange(cells) + 1) * crop // (2 * cells) for cells in grid)
    in_rows = (rows + top >= region.top) & (rows + top < region.top + region.height)
    in_columns = (columns + left >= region.left) & (columns + left < region.left + region.width)
    kept: Mask = in_rows[:, None] & in_columns[None, :]
    if not kept.any() and max(region.width, region.height) <= crop:
        row = (region.top + region.height // 2 - top) * grid[0] // crop
        column = (region.left + region.width // 2 - left) * grid[1] // crop
        kept[row, column] = True
        return kept
    return kept & data[np.ix_(rows, columns)]
