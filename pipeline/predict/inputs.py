"""From files and folders to what is predicted and the files that it becomes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.predict.settings import PredictSettings
from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.images.folder import files_below, has_image_name, unread_files, unread_note
from rsmtdf_core.scenes.images.formats import IMAGE_SUFFIXES, RASTER_SUFFIXES

OutputKind = Literal["map", "panel", "probabilities", "confidence", "polygons"]


@dataclass(frozen=True, slots=True)
class Job:
    """One input with the files that it becomes, by kind; `map` is always among them."""

    source: Path
    files: dict[OutputKind, Path]

    @property
    def is_raster(self) -> bool:
        """Whether the map is a GeoTIFF rather than a PNG: the input's name is of a format that has a place."""
        return self.source.suffix.lower() in RASTER_SUFFIXES


def find_jobs(inputs: Sequence[Path], out: Path, settings: PredictSettings) -> list[Job]:
    """The images named, and all in folders named; what is in `out` is left out.

    An image below a folder keeps its path in `out`.

    Raises:
        MissingFileError, DataError: an input is missing, a folder has no image, or two files would
            have one name, or that of an input.
    """
    jobs = [
        _job(source, out / place.parent / place.stem, settings)
        for source, place in _sources(inputs, out)
    ]
    sources = {job.source.resolve() for job in jobs}
    owners: dict[Path, Path] = {}
    for job in jobs:
        for path in job.files.values():
            if path.resolve() in sources:
                raise _clash(f"the output of {job.source} would replace an input", path)
            if (other := owners.setdefault(path.resolve(), job.source)) != job.source:
                raise _clash(f"{other} and {job.source} would both be written to one file", path)
    return jobs


def left_out(inputs: Sequence[Path], out: Path) -> list[Path]:
    """Files in the folders named whose formats are not read; see `unread_files`."""
    folders = [path for path in inputs if path.is_dir()]
    return [path for folder in folders for path in unread_files(_inside(folder, out))]


def _clash(what: str, path: Path) -> DataError:
    return DataError(what, where=path, remedy="predict into another folder with --out")


def _sources(inputs: Sequence[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """Each image once, with its place in `out`."""
    seen = set()
    for path in inputs:
        for image in [path] if not path.is_dir() else _images(path, out):
            if not image.is_file():
                raise MissingFileError(
                    "there is no such image or folder",
                    where=image,
                    remedy="correct the path, or leave it out",
                )
            if image.resolve() not in seen:
                seen.add(image.resolve())
                yield image, image.relative_to(path) if path.is_dir() else Path(image.name)


def _images(folder: Path, out: Path) -> list[Path]:
    files = _inside(folder, out)
    images = [path for path in files if has_image_name(path) and path.is_file()]
    if not images:
        unread = unread_files(files)
        raise DataError(
            f"no image is in the folder: no file ends in {', '.join(sorted(IMAGE_SUFFIXES))}"
            + (f"; {unread_note(unread)}" if unread else ""),
            where=folder,
            remedy="convert them first" if unread else "name the folder that the images are in",
        )
    return images


def _inside(folder: Path, out: Path) -> list[Path]:
    """All files below a folder but those in `out`, in the order of their paths."""
    target = out.resolve()
    return sorted(path for path in files_below(folder) if not path.resolve().is_relative_to(target))


def _job(source: Path, stem: Path, settings: PredictSettings) -> Job:
    raster = source.suffix.lower() in RASTER_SUFFIXES
    endings: dict[OutputKind, str] = {"map": ".tif" if raster else ".png"}
    if not raster:
        endings["panel"] = "-panel.png"
    if settings.probabilities:
        endings["probabilities"] = "-probabilities.tif"
    if settings.confidence:
        endings["confidence"] = "-confidence.tif"
    if settings.polygons and raster:
        endings["polygons"] = "-polygons.geojson"
    return Job(
        source, {kind: stem.with_name(stem.name + ending) for kind, ending in endings.items()}
    )
