"""The areas stage: areas of the classes of maps with confidence intervals, from reference pixels."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.areas.rasters import open_ids
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.arrays import Pixels
from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.areas import AreaReport, estimate_areas
from rsmtdf_core.files import require_writable, write_json
from rsmtdf_core.words import counted

_ROWS = 512  # rows of a raster in memory
_SUFFIXES = (".tif", ".tiff")
_NOT_MAPS = ("-probabilities", "-confidence", "-disagreement", "-panel")
_ADJACENT = 0.05  # share of reference pixels with a neighbor that a random sample rarely exceeds


def areas(
    maps: Sequence[Path],
    truth: Path,
    out: Path | None = None,
    reporter: Reporter | None = None,
) -> AreaReport:
    """Estimate the area of each class of maps.

    Args:
        maps: maps of `predict`, or folders of them; together they are the mapped region.
        truth: a raster of reference pixels for a single map, or a folder with a raster of the same name for each map
            that has reference pixels. Values are the map's class ids; other values and nodata are not labeled.
        out: a JSON file for the report; None writes no file.
        reporter: shows progress.

    Raises:
        MissingFileError, DataError: If a file is missing or damaged, if grids or classes differ, or if a class has too
            few reference pixels.
        WriteError: If the file cannot be written.
    """
    reporter = reporter or Silent()
    if out is not None:
        require_writable(out)
    pairs = list(_pairs(maps, truth))
    names = _common_names([pair.id_map for pair in pairs])
    counts = _Counts.zeros(len(names))
    sizes: set[tuple[float, str]] = set()
    with reporter.bar("count pixels", len(pairs)) as bar:
        for pair in pairs:
            sizes.add(_count(pair, counts))
            bar.advance(note=pair.id_map.name)
    (pixel_area, unit), *others = sorted(sizes)
    if others:
        raise DataError(
            f"the maps have pixels of different areas: {pixel_area:g} and {others[0][0]:g} {others[0][1]}",
            where=pairs[0].id_map,
            remedy="estimate maps of one resolution at a time, or warp them to one grid",
        )
    report = estimate_areas(counts.matrix, counts.mapped, names, pixel_area, unit)
    report = report.model_copy(update={"notes": tuple(_notes(counts, unit))})
    if out is not None:
        write_json(out, report.model_dump(mode="json"))
    return report


@dataclass(frozen=True, slots=True)
class _Pair:
    """A map with its reference pixels; None without any."""

    id_map: Path
    truth: Path | None


@dataclass(slots=True)
class _Counts:
    """Pixels of all maps.

    Attributes:
        matrix: reference pixels, int64 [C, C], with a row for each class of the map.
        mapped: all pixels of the maps by class, int64 [C].
        adjacent: reference pixels whose right or lower neighbor is one too.
    """

    matrix: npt.NDArray[np.int64]
    mapped: npt.NDArray[np.int64]
    adjacent: int = 0

    @classmethod
    def zeros(cls, classes: int) -> "_Counts":
        return cls(np.zeros((classes, classes), np.int64), np.zeros(classes, np.int64))

    def add(self, ids: Pixels, truth: Pixels | None) -> None:
        """Add some rows, uint8 [rows, width]: the ids of the map and of the truth, if there is one.

        Ids that are not those of a class have no data in the map, and no label in the truth.
        """
        classes = len(self.mapped)
        valid = ids < classes
        self.mapped += np.bincount(ids[valid], minlength=classes)
        if truth is None:
            return
        sampled = valid & (truth < classes)
        cells = ids[sampled].astype(np.int64) * classes + truth[sampled]
        self.matrix += np.bincount(cells, minlength=classes**2).reshape(classes, classes)
        neighbors = np.zeros_like(sampled)
        neighbors[:, :-1] |= sampled[:, 1:]
        neighbors[:-1] |= sampled[1:]
        self.adjacent += int((sampled & neighbors).sum())


def _pairs(maps: Sequence[Path], truth: Path) -> Iterator[_Pair]:
    """Yield each map with its reference raster.

    Raises:
        DataError: If there is no map, or no map has a reference raster.
    """
    found = [
        (path, path.relative_to(given) if given.is_dir() else Path(path.name))
        for given in maps
        for path in (_maps_in(given) if given.is_dir() else [given])
    ]
    if not found:
        raise DataError(
            "the folder has no map",
            where=maps[0],
            remedy="run `rsmtdf predict RUN INPUT --out MAPS` first",
        )
    if not truth.is_dir():
        if len(found) > 1:
            raise DataError(
                f"expected a folder of reference rasters for {counted(len(found), 'map')}, found a file",
                where=truth,
                remedy="put a raster of the same name for each map into a folder",
            )
        yield _Pair(found[0][0], truth)
        return
    pairs = [_Pair(path, _reference(truth, relative)) for path, relative in found]
    if not any(pair.truth for pair in pairs):
        raise DataError(
            f"no reference raster has the name of a map, such as {found[0][1].name}",
            where=truth,
            remedy="name each reference raster like its map",
        )
    yield from pairs


def _maps_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES and not path.stem.endswith(_NOT_MAPS)
    )


def _reference(folder: Path, relative: Path) -> Path | None:
    stem = folder / relative.parent / relative.stem
    candidates = (stem.with_name(stem.name + suffix) for suffix in (relative.suffix, *_SUFFIXES))
    return next((path for path in candidates if path.is_file()), None)


def _common_names(maps: Sequence[Path]) -> list[str]:
    """Return the class names of the maps.

    Raises:
        DataError: If they differ.
    """
    names: list[str] = []
    for path in maps:
        with open_ids(path) as id_map:
            other = id_map.class_names
        names = names or other
        if other != names:
            raise DataError(
                f"the map has other classes than {maps[0].name}: {', '.join(other)} instead of {', '.join(names)}",
                where=path,
                remedy="estimate maps of one run at a time",
            )
    return names


def _count(pair: _Pair, counts: _Counts) -> tuple[float, str]:
    """Add the pixels of a map, and return the area of a pixel with its unit."""
    with ExitStack() as stack:
        id_map = stack.enter_context(open_ids(pair.id_map))
        truth = None if pair.truth is None else stack.enter_context(open_ids(pair.truth))
        if truth is not None:
            truth.require_grid_of(id_map)
        for top in range(0, id_map.height, _ROWS):
            rows = min(_ROWS, id_map.height - top)
            ids, _ = id_map.read(top, rows)
            counts.add(ids, None if truth is None else truth.read(top, rows)[0])
        return id_map.pixel_area


def _notes(counts: _Counts, unit: str) -> Iterator[str]:
    samples = int(counts.matrix.sum())
    yield (
        f"{counted(samples, 'reference pixel')} in {counted(int(counts.mapped.sum()), 'mapped pixel')}; intervals of "
        "95 %, stratified estimator (Olofsson et al. 2014)"
    )
    yield "the intervals hold if the reference pixels are a random sample of each class of the map"
    if counts.adjacent > _ADJACENT * samples:
        yield (
            f"{counts.adjacent / samples:.0%} of the reference pixels touch another one: pixels labeled in patches are "
            "not independent, so the intervals are too narrow"
        )
    if unit == "px":
        yield "the maps have no projected coordinate reference system, so areas are in pixels"
