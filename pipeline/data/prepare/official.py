"""The official lists of crops: labeled.txt, unlabeled.txt, val.txt and test.txt, read as they come.

The official code reads Potsdam's paths relative to the data root, those of DeepGlobe and LoveDA relative to the working
directory. Here a line names a tile and a crop's number, wherever that lies, so each convention is read alike.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.prepare.benchmarks import Benchmark, FileName
from pipeline.data.prepare.layout import BenchmarkFolder
from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.find import ScenePair
from rsmtdf_core.scenes.lists import ListedPair, read_pair_list


@dataclass(frozen=True, slots=True)
class ListedCrop:
    """A crop that a list names.

    Attributes:
        place: the file and line.
        tile: values of the tile's fields, joined by "/".
        number: place of the crop in its tile, from 1, row by row.
    """

    place: str
    tile: str
    number: int

    @property
    def id(self) -> str:
        """The id of the crop where it is an image of its own."""
        return f"{self.tile}/{self.number}"


@dataclass(frozen=True, slots=True)
class OfficialLists:
    """The lists of one folder; the training split is `labeled` and `unlabeled`."""

    name: str
    labeled: tuple[ListedCrop, ...]
    unlabeled: tuple[ListedCrop, ...]
    val: tuple[ListedCrop, ...]
    test: tuple[ListedCrop, ...]

    @property
    def splits(self) -> dict[str, tuple[ListedCrop, ...]]:
        """The crops by the manifest's names of splits."""
        return {"train": (*self.labeled, *self.unlabeled), "val": self.val, "test": self.test}


def read_official(benchmark: Benchmark, folder: Path) -> OfficialLists:
    """Read a folder such as splits/Potsdam/1; val.txt and test.txt lie in it or above it.

    Where unlabeled.txt is empty or missing, all crops are labeled: the training split is the labeled list.

    Raises:
        MissingFileError: a list is missing.
        DataError: a line is no crop of the benchmark, image and mask do not belong together, or a crop is
            named twice.
    """

    def crops(name: str, *, may_be_empty: bool = False) -> tuple[ListedCrop, ...]:
        pairs = read_pair_list(_find(folder, name), may_be_empty=may_be_empty)
        return tuple(_crop(benchmark, pair) for pair in pairs)

    labeled = crops("labeled.txt")
    all_labeled = not (folder / "unlabeled.txt").exists()
    unlabeled = () if all_labeled else crops("unlabeled.txt", may_be_empty=True)
    lists = OfficialLists(
        _name(benchmark, folder), labeled, unlabeled, crops("val.txt"), crops("test.txt")
    )
    seen: dict[str, str] = {}
    for crop in (*labeled, *unlabeled, *lists.val, *lists.test):
        if crop.id in seen:
            raise DataError(
                f"crop {crop.number} of {crop.tile} is listed twice, first in {seen[crop.id]}",
                where=crop.place,
                remedy="remove one of the two lines",
            )
        seen[crop.id] = crop.place
    return lists


def read_all(benchmark: Benchmark, folders: Sequence[Path]) -> list[OfficialLists]:
    """Read several folders, each of which becomes a manifest.

    Raises:
        MissingFileError, DataError: as for `read_official`; or two folders would give manifests of one name.
    """
    lists: list[OfficialLists] = []
    for folder in folders:
        lists.append(read_official(benchmark, folder))
        if lists[-1].name in {one.name for one in lists[:-1]}:
            raise DataError(
                f"two folders of lists would become one manifest, {lists[-1].name}",
                where=folder,
                remedy="rename the folder, or prepare it into another with --to",
            )
    return lists


def scene_ids(
    benchmark: Benchmark, crops: Sequence[ListedCrop], pairs: Sequence[ScenePair], *, cropped: bool
) -> dict[ListedCrop, str]:
    """Ids of the scenes that crops are; those of absent files are left out.

    Args:
        benchmark: tells where a crop is in its tile.
        crops: the crops.
        pairs: the files that are there.
        cropped: whether these are crops; else tiles, of which the crops are windows.
    """
    present = {pair.id for pair in pairs}
    if cropped:
        return {crop: crop.id for crop in crops if crop.id in present}
    corners = {crop: benchmark.corner(crop.number) for crop in crops if crop.tile in present}
    return {crop: f"{crop.tile}@{left},{top}" for crop, (left, top) in corners.items()}


def require_all(
    crops: Sequence[ListedCrop], found: Mapping[ListedCrop, str], layout: BenchmarkFolder
) -> None:
    """Refuse lists with crops that are not there.

    Raises:
        DataError: names the first missing crop's line and its file.
    """
    missing = [crop for crop in crops if crop not in found]
    if missing:
        first = missing[0]
        fields = dict(zip(layout.tile_fields, first.tile.split("/"), strict=True))
        raise DataError(
            f"{len(missing)} of {len(crops)} listed crops are not there; the first needs "
            f"{layout.root / layout.images.format(**fields, crop=first.number)}",
            where=first.place,
            remedy="give the folder that has them with --from, or leave them out with --partial",
        )


def _find(folder: Path, name: str) -> Path:
    places = [folder / name, folder.parent / name] if name in ("val.txt", "test.txt") else []
    for place in places or [folder / name]:
        if place.is_file():
            return place
    raise MissingFileError(
        f"the list {name} is missing",
        where=" or ".join(map(str, places or [folder / name])),
        remedy="name the folder of one share of labels with --splits, such as splits/Potsdam/1",
    )


def _crop(benchmark: Benchmark, pair: ListedPair) -> ListedCrop:
    image = _fields(benchmark.crop_image, pair.image)
    mask = _fields(benchmark.crop_mask, pair.mask)
    if image is None or image != mask:
        wrong = (
            "expected" if image is None else "the mask is another crop's than the image; expected"
        )
        raise DataError(
            f"{wrong} {benchmark.crop_image.pattern} {benchmark.crop_mask.pattern}, found "
            f"{pair.image} {pair.mask}",
            where=pair.place,
            remedy=f"these lists are not of {benchmark.name}, or their names were changed",
        )
    *tile, number = image.values()
    if not 1 <= int(number) <= benchmark.crops:
        width, height = benchmark.size
        raise DataError(
            f"a tile of {width} x {height} px has the crops 1 to {benchmark.crops}, found {number}",
            where=pair.place,
            remedy="these lists are of crops of another size, or were changed: fetch them again",
        )
    return ListedCrop(pair.place, "/".join(tile), int(number))


def _fields(name: FileName, path: str) -> dict[str, str] | None:
    return next((match[1] for form in name.forms if (match := form.matched(path))), None)


def _name(benchmark: Benchmark, folder: Path) -> str:
    share = re.sub("[^a-z0-9_-]", "-", folder.resolve().name.lower())
    return f"{benchmark.name}-official-{share}"
