"""The official lists of crops: labeled.txt, unlabeled.txt, val.txt and test.txt, read unchanged.

The official code resolves Potsdam's paths against the data root, those of DeepGlobe and LoveDA against the working
directory. Here a line only names a tile and a crop number, so both conventions work.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.prepare.benchmarks import Benchmark, FileName
from pipeline.data.prepare.layout import BenchmarkFolder
from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.lists import ListedPair, read_pair_list
from rsmtdf_core.scenes.scene import ScenePair
from rsmtdf_core.words import counted


@dataclass(frozen=True, slots=True)
class ListedCrop:
    """A crop that a list names.

    Attributes:
        line: the file and the line number, for messages.
        tile: the values of the tile's fields, joined by "/".
        number: the number of the crop in its tile, from 1, row by row.
    """

    line: str
    tile: str
    number: int

    @property
    def id(self) -> str:
        """The scene id of the crop in a dataset of crops."""
        return f"{self.tile}/{self.number}"


@dataclass(frozen=True, slots=True)
class OfficialLists:
    """The lists of a folder; the training split is `labeled` and `unlabeled`."""

    name: str
    labeled: tuple[ListedCrop, ...]
    unlabeled: tuple[ListedCrop, ...]
    val: tuple[ListedCrop, ...]
    test: tuple[ListedCrop, ...]

    @property
    def splits(self) -> dict[str, tuple[ListedCrop, ...]]:
        """The crops of each split of the manifest."""
        return {"train": (*self.labeled, *self.unlabeled), "val": self.val, "test": self.test}


def read_official(benchmark: Benchmark, folder: Path) -> OfficialLists:
    """Read a folder such as splits/Potsdam/1, with val.txt and test.txt in it or in its parent.

    If unlabeled.txt is empty or missing, all crops are labeled: the training split is the labeled list.

    Raises:
        MissingFileError: If a list is missing.
        DataError: If a line names no crop of the benchmark, image and mask differ, or a crop is listed twice.
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
                where=crop.line,
                remedy="remove one of the two lines",
            )
        seen[crop.id] = crop.line
    return lists


def read_all(benchmark: Benchmark, folders: Sequence[Path]) -> list[OfficialLists]:
    """Read several folders; each becomes a manifest.

    Raises:
        MissingFileError, DataError: As for `read_official`; also if two folders would become manifests of one name.
    """
    lists: list[OfficialLists] = []
    for folder in folders:
        lists.append(read_official(benchmark, folder))
        if lists[-1].name in {earlier.name for earlier in lists[:-1]}:
            raise DataError(
                f"two folders of lists would become one manifest, {lists[-1].name}",
                where=folder,
                remedy="rename the folder, or prepare it to another folder with --to",
            )
    return lists


def scene_ids(
    benchmark: Benchmark, crops: Sequence[ListedCrop], pairs: Sequence[ScenePair], *, cropped: bool
) -> dict[ListedCrop, str]:
    """Return the scene id of each crop; crops whose files are absent are left out.

    Args:
        benchmark: the benchmark, which knows the corner of a crop in its tile.
        crops: the crops.
        pairs: the pairs on disk.
        cropped: whether the pairs are crops; otherwise they are tiles, and the crops are windows of them.
    """
    present = {pair.id for pair in pairs}
    if cropped:
        return {crop: crop.id for crop in crops if crop.id in present}
    corners = {crop: benchmark.corner(crop.number) for crop in crops if crop.tile in present}
    return {crop: f"{crop.tile}@{left},{top}" for crop, (left, top) in corners.items()}


def require_all(
    crops: Sequence[ListedCrop], present: Mapping[ListedCrop, str], layout: BenchmarkFolder
) -> None:
    """Refuse lists with crops whose files are absent.

    Raises:
        DataError: If a crop is not in `present`; the message names its line and its file.
    """
    missing = [crop for crop in crops if crop not in present]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(crops)} listed crops are missing; the first needs "
            f"{_image(missing[0], layout)}",
            where=missing[0].line,
            remedy="name the folder that has them with --from, or leave them out with --partial",
        )


def no_labeled_crop(lists: OfficialLists, files: int, layout: BenchmarkFolder) -> DataError:
    """Return the error for lists whose labeled crops are all in files that are absent.

    Args:
        lists: the lists.
        files: number of images on disk.
        layout: the location of the images.
    """
    first = lists.labeled[0]
    return DataError(
        f"none of the {counted(len(lists.labeled), 'labeled crop')} of {lists.name} is in the "
        f"{counted(files, 'image')} below {layout.root}, so there would be no labels to train on; the first needs "
        f"{_image(first, layout)}",
        where=first.line,
        remedy="add an image that labeled.txt names, name other lists with --splits, or leave out --splits",
    )


def _image(crop: ListedCrop, layout: BenchmarkFolder) -> Path:
    """Return the path of the image that a crop is in."""
    fields = dict(zip(layout.tile_fields, crop.tile.split("/"), strict=True))
    return layout.root / layout.images.format(**fields, crop=crop.number)


def _find(folder: Path, name: str) -> Path:
    paths = [folder / name]
    if name in ("val.txt", "test.txt"):
        paths.append(folder.parent / name)
    for path in paths:
        if path.is_file():
            return path
    raise MissingFileError(
        f"the list {name} is missing",
        where=" or ".join(map(str, paths)),
        remedy="name the folder of one share of labels with --splits, such as splits/Potsdam/1",
    )


def _crop(benchmark: Benchmark, pair: ListedPair) -> ListedCrop:
    image = _fields(benchmark.crop_image, pair.image)
    mask = _fields(benchmark.crop_mask, pair.mask)
    if image is None or image != mask:
        problem = "expected" if image is None else "image and mask are different crops; expected"
        raise DataError(
            f"{problem} {benchmark.crop_image.pattern} {benchmark.crop_mask.pattern}, found "
            f"{pair.image} {pair.mask}",
            where=pair.line,
            remedy=f"use the lists of {benchmark.name}, with the published names",
        )
    *tile, number = image.values()
    if not 1 <= int(number) <= benchmark.crops:
        width, height = benchmark.size
        raise DataError(
            f"a tile of {width} x {height} px has the crops 1 to {benchmark.crops}, found {number}",
            where=pair.line,
            remedy="these lists are for crops of another size, or were changed: download them again",
        )
    return ListedCrop(pair.line, "/".join(tile), int(number))


def _fields(name: FileName, path: str) -> dict[str, str] | None:
    return next((match[1] for form in name.forms if (match := form.matched(path))), None)


def _name(benchmark: Benchmark, folder: Path) -> str:
    share = re.sub("[^a-z0-9_-]", "-", folder.resolve().name.lower())
    return f"{benchmark.name}-official-{share}"
