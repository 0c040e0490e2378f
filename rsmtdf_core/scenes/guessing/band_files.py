"""Recognize scenes with one file for each band of Sentinel-2: SAFE folders, and files such as B02.tif or x_B02.tif."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rsmtdf_core.errors import DataError, RsmtdfError
from rsmtdf_core.scenes.guessing.names import readings
from rsmtdf_core.scenes.images.file import open_image

SHOWN = ("B04", "B03", "B02")
"""Red, green and blue."""

_NAME = re.compile(
    r"(?:(?P<stem>.+)_)?(?P<band>B(?:0[1-9]|1[0-2]|8A))(?:_(?P<meters>[126]0)m)?(?P<suffix>\.\w+)"
)
_COARSE = frozenset({"B01", "B09", "B10"})  # of 60 m, for the atmosphere
_SAFE = "{product}.SAFE/GRANULE/{granule}/IMG_DATA/"


class _Place(NamedTuple):
    """Where a band's file is, around the name of its scene; `meters` of its pixels, 0 if the name has none."""

    meters: int
    before: str
    after: str


@dataclass(frozen=True)
class BandFiles:
    """Scenes of one file for each band, as images with one file each.

    Attributes:
        files: posix paths as if each scene were one file, named like the scene; and masks.
        real: the first band's file, or the mask, for each of these paths.
        places: where each band's file is, red, green and blue first.
        suffix: the suffix of the bands' files.
    """

    files: tuple[str, ...]
    real: Mapping[str, str]
    places: Mapping[str, _Place]
    suffix: str

    def patterns(self, image: str) -> tuple[str, ...]:
        """Return the patterns of the bands' files for a pattern of `files`."""
        folders, name = _split(image.removesuffix(self.suffix))
        return tuple(
            f"{folders}{place.before}{name}{place.after}" for place in self.places.values()
        )

    def mask_pattern(self, masks: str) -> str:
        """Return the pattern of the masks for a pattern of `files`."""
        for seen, real in self.real.items():
            name = real.rpartition("/")[2]
            if seen != real and masks.endswith(f"}}_{name}"):
                return masks.removesuffix(f"_{name}") + f"/{name}"
        return masks


def find_band_files(root: Path, files: Sequence[str]) -> BandFiles | None:
    """Recognize scenes of one file for each band; None if there is no scene with red, green and blue.

    Of a band in several resolutions, the finest is taken. Bands for the atmosphere, of 60 m, are left out.

    Args:
        root: the data root.
        files: posix paths of all images and masks below it.

    Raises:
        DataError: If a band's file is named differently in two scenes.
    """
    scenes: dict[str, dict[str, list[tuple[_Place, str]]]] = {}
    for path in files:
        if (named := _named(path)) is not None:
            scene, band, place = named
            scenes.setdefault(scene, {}).setdefault(band, []).append((place, path))
    scenes = {scene: bands for scene, bands in scenes.items() if bands.keys() >= set(SHOWN)}
    finest = {
        scene: {band: min(found) for band, found in bands.items()}
        for scene, bands in scenes.items()
    }
    if not finest or not _has_one_band(root / next(iter(finest.values()))[SHOWN[0]][1]):
        return None
    bands = sorted({band for found in finest.values() for band in found} - _COARSE)
    order = [*SHOWN, *sorted({"B08"} & set(bands)), *bands]
    places = {band: _common_place(root, band, finest) for band in dict.fromkeys(order)}
    real = {scene: found[SHOWN[0]][1] for scene, found in finest.items()}
    folders = {path.rpartition("/")[0] for scene, path in real.items() if _is_folder(scene, path)}
    real |= dict(_masks(files, folders))
    return BandFiles(tuple(sorted(real)), real, places, Path(min(finest)).suffix)


def _named(path: str) -> tuple[str, str, _Place] | None:
    """Return the path of a band's scene, the band and the place of its file; None for another file."""
    *folders, name = path.split("/")
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    before = ""
    if folders and folders[-1] == f"R{match['meters']}m":
        before = f"{folders.pop()}/"
    if not match["stem"]:
        if not folders:
            return None
        scene, after = "/".join(folders), f"/{before}{name}"
        return f"{scene}{match['suffix']}", match["band"], _Place(_meters(match), "", after)
    match folders:
        case [*outer, safe, "GRANULE", _, "IMG_DATA"] if safe.endswith(".SAFE"):
            folders, before = outer, f"{_SAFE}{before}"
    after = name.removeprefix(match["stem"])
    scene = "/".join([*folders, match["stem"]])
    return f"{scene}{match['suffix']}", match["band"], _Place(_meters(match), before, after)


def _meters(match: re.Match[str]) -> int:
    return int(match["meters"] or 0)


def _has_one_band(path: Path) -> bool:
    try:
        with open_image(path) as image:
            return image.count == 1
    except RsmtdfError:  # reported when the file is read
        return True


def _common_place(
    root: Path, band: str, scenes: Mapping[str, Mapping[str, tuple[_Place, str]]]
) -> _Place:
    found = {bands[band][0]: bands[band][1] for bands in scenes.values() if band in bands}
    if len(found) > 1:
        first, second = sorted(found.values())[:2]
        raise DataError(
            f"the files of band {band} are named in several ways, such as {first} and {second}",
            where=root,
            remedy="name them in one way, or move the other scenes out of the folder",
        )
    return next(iter(found))


def _is_folder(scene: str, path: str) -> bool:
    """Whether a scene is named by the folder of its band files."""
    return path.startswith(f"{scene.rpartition('.')[0]}/")


def _masks(files: Sequence[str], folders: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the masks, those in a scene's folder as if they were next to the scene."""
    for path in files:
        folder, _, name = path.rpartition("/")
        seen = f"{folder}_{name}" if folder in folders else path
        inside_safe = any(part.endswith(".SAFE") for part in folder.split("/"))
        if not inside_safe and any(form.says_mask for form, _ in readings(seen)):
            yield seen, path


def _split(pattern: str) -> tuple[str, str]:
    folders, slash, name = pattern.rpartition("/")
    return folders + slash, name
