"""Finds the images to predict among files, folders and addresses, and names their output files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.predict.items import find_items
from pipeline.predict.settings import PredictSettings
from pipeline.predict.stacks import find_stacks, is_band
from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.images.folder import files_below, has_image_name, unread_files, unread_note
from rsmtdf_core.scenes.images.formats import IMAGE_SUFFIXES, RASTER_SUFFIXES
from rsmtdf_core.scenes.images.source import File, RemoteFile, Source, source_files
from rsmtdf_core.scenes.stac import is_document

OutputKind = Literal[
    "map",
    "panel",
    "style",
    "probabilities",
    "confidence",
    "disagreement",
    "polygons",
    "geopackage",
    "stac",
]

PLACED: frozenset[OutputKind] = frozenset({"polygons", "geopackage", "stac"})
"""Outputs with longitude and latitude."""


@dataclass(frozen=True, slots=True)
class Job:
    """An input image and its output files.

    Attributes:
        source: the image.
        files: output files by kind, always including `map`.
    """

    source: Source
    files: dict[OutputKind, Path]

    @property
    def first(self) -> File:
        """The image's file, or the first of its files."""
        return source_files(self.source)[0]

    @property
    def is_raster(self) -> bool:
        """Whether the map is a GeoTIFF rather than a PNG, because the input's format can have a georeference."""
        return _is_raster(self.source)


def find_jobs(
    inputs: Sequence[File],
    out: Path,
    settings: PredictSettings,
    patterns: Sequence[str] = (),
    assets: Sequence[str] = (),
) -> list[Job]:
    """Find the images among the inputs, in input folders, except those in `out`, and of the items in STAC documents.

    An image in a folder keeps its path relative to that folder, and that of an item has its id.

    Args:
        inputs: files, folders, STAC documents and addresses.
        out: the output folder.
        settings: selects the outputs.
        patterns: path patterns of the files of a scene; if a folder has such scenes, they are its images.
        assets: the assets of the images of STAC items; empty guesses them.

    Raises:
        MissingFileError: If an input does not exist.
        DataError: If a folder has no image, or if an output would replace an input or another output.
    """
    jobs = [
        _job(source, out / relative, settings)
        for source, relative in _sources(inputs, out, patterns, assets)
    ]
    sources = {file for job in jobs for file in _identity(job.source)}
    owners: dict[Path, Source] = {}
    for job in jobs:
        for path in job.files.values():
            if path.resolve() in sources:
                raise _clash(f"the output of {job.source} would replace an input", path)
            if (other := owners.setdefault(path.resolve(), job.source)) != job.source:
                raise _clash(f"{other} and {job.source} would both be written to one file", path)
    return jobs


def left_out(inputs: Sequence[File], out: Path) -> list[Path]:
    """List the files in input folders whose formats are not supported; see `unread_files`."""
    folders = [path for path in inputs if isinstance(path, Path) and path.is_dir()]
    return [path for folder in folders for path in unread_files(_inside(folder, out))]


def _clash(message: str, path: Path) -> DataError:
    return DataError(message, where=path, remedy="predict into another folder with --out")


def _sources(
    inputs: Sequence[File], out: Path, patterns: Sequence[str], assets: Sequence[str]
) -> Iterator[tuple[Source, Path]]:
    """Yield each image once, with its path relative to `out`, without a suffix."""
    seen = set()
    for given in inputs:
        found = find_items(given, assets) if _is_items(given) else _found(given, out, patterns)
        for source, relative in found:
            if (identity := _identity(source)) not in seen:
                seen.add(identity)
                yield source, relative


def _is_items(given: File) -> bool:
    return is_document(given) and (isinstance(given, RemoteFile) or given.is_file())


def _found(given: File, out: Path, patterns: Sequence[str]) -> Iterator[tuple[Source, Path]]:
    if isinstance(given, RemoteFile):
        yield given, Path(given.stem)
    elif given.is_dir():
        stacks = list(find_stacks(given, _inside(given, out), patterns)) if patterns else []
        yield from stacks
        if not stacks:
            for image in _images(given, out):
                yield image, image.relative_to(given).with_suffix("")
    elif not given.is_file():
        raise MissingFileError(
            "the image or folder does not exist", where=given, remedy="correct the path"
        )
    elif is_band(given, patterns):
        raise DataError(
            "this file has one band of a scene", where=given, remedy="name the folder of the scene"
        )
    else:
        yield given, Path(given.name).with_suffix("")


def _identity(source: Source) -> tuple[File, ...]:
    return tuple(
        file.resolve() if isinstance(file, Path) else file for file in source_files(source)
    )


def _is_raster(source: Source) -> bool:
    first = source_files(source)[0]
    return isinstance(first, RemoteFile) or first.suffix.lower() in RASTER_SUFFIXES


def _images(folder: Path, out: Path) -> list[Path]:
    files = _inside(folder, out)
    images = [path for path in files if has_image_name(path) and path.is_file()]
    if not images:
        unread = unread_files(files)
        raise DataError(
            f"the folder has no image: no file name ends in {', '.join(sorted(IMAGE_SUFFIXES))}"
            + (f"; {unread_note(unread)}" if unread else ""),
            where=folder,
            remedy="convert the files first"
            if unread
            else "give the folder that contains the images",
        )
    return images


def _inside(folder: Path, out: Path) -> list[Path]:
    """List all files below a folder except those in `out`, sorted by path."""
    target = out.resolve()
    return sorted(path for path in files_below(folder) if not path.resolve().is_relative_to(target))


def _job(source: Source, stem: Path, settings: PredictSettings) -> Job:
    raster = _is_raster(source)
    endings: dict[OutputKind, str] = {
        "map": ".tif" if raster else ".png",
        "panel": "-panel.png",
    }
    if raster:
        endings["style"] = ".qml"
    if settings.probabilities:
        endings["probabilities"] = "-probabilities.tif"
    if settings.confidence or (settings.geopackage and raster):
        endings["confidence"] = "-confidence.tif"
    if settings.disagreement:
        endings["disagreement"] = "-disagreement.tif"
    if settings.polygons and raster:
        endings["polygons"] = "-polygons.geojson"
    if settings.geopackage and raster:
        endings["geopackage"] = "-polygons.gpkg"
    if settings.stac and raster:
        endings["stac"] = "-stac.json"
    return Job(
        source, {kind: stem.with_name(stem.name + ending) for kind, ending in endings.items()}
    )
