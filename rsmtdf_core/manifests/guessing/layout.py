"""Which files are images, which are masks, and the two path patterns that pair them.

A file is a mask where a folder on its way or the end of its name says so: masks/, annotations/, a_label.png. What
the words leave of a path tells its scene: folders become fields of the pattern where they differ.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.manifests.patterns import IMAGE_SUFFIXES, match_files, pattern_fields

_MASK_WORDS = frozenset(
    {"mask", "masks", "label", "labels", "annotation", "annotations", "ann", "anns"}
)
_MASK_WORDS |= {"gt", "truth", "groundtruth", "seg", "segmentation", "target", "targets"}
_IMAGE_WORDS = frozenset(
    {"image", "images", "img", "imgs", "sat", "rgb", "irrg", "photo", "photos"}
)
_IMAGE_WORDS |= {"input", "inputs"}
_SPLIT_WORDS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
_DEPTH = 5  # folders below the root
_FIELDS = ("area", "part", "block", "group")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True)
class Layout:
    """How files lie below a data root.

    Attributes:
        images: path pattern of the images.
        masks: path pattern of the masks; None where there are none.
        pairs: field values of each image, and whether it has a mask.
        image_files: posix paths relative to the root.
        mask_files: the same, of those that belong to an image.
        why: what was seen, in words.
    """

    images: str
    masks: str | None
    pairs: tuple[tuple[dict[str, str], bool], ...]
    image_files: tuple[str, ...]
    mask_files: tuple[str, ...]
    why: str

    @property
    def split_field(self) -> str | None:
        """The field whose values are names of splits."""
        return "split" if "split" in pattern_fields(self.images) else None

    @property
    def area_field(self) -> str | None:
        """The first field that is a folder and no split."""
        return next((one for one in pattern_fields(self.images) if one in _FIELDS), None)


@dataclass(frozen=True)
class _File:
    """A path taken apart.

    Attributes:
        path: posix path relative to the root.
        folders: on its way, without the one that says its kind.
        kind_at: place of that folder; -1 where there is none.
        kind: that folder's name.
        stem: what the scene is called.
        tail: end of the name that says its kind, such as _mask.
        suffix: such as .png.
        is_mask: whether words say so.
    """

    path: str
    folders: tuple[str, ...]
    kind_at: int
    kind: str
    stem: str
    tail: str
    suffix: str
    is_mask: bool

    @property
    def scene(self) -> tuple[str, ...]:
        return (*self.folders, self.stem)

    @property
    def form(self) -> tuple[int, int, str, str]:
        return len(self.folders), self.kind_at, self.kind, self.tail


def guess_layout(root: Path) -> Layout:
    """The most common way in which images, and their masks, lie below `root`.

    Raises:
        MissingFileError: where `root` is no folder, or has no image in it.
        DataError: where images and masks cannot be told apart by path patterns.
    """
    if not root.is_dir():
        raise MissingFileError("this is not a folder", where=root, remedy="name the data's folder")
    files = [_taken_apart(path) for path in _image_files(root)]
    if not files:
        known = ", ".join(one.removeprefix(".") for one in IMAGE_SUFFIXES)
        raise MissingFileError(f"no image in this folder ({known})", where=root)
    masks = _most_common([one for one in files if one.is_mask])
    images = _most_common([one for one in files if not one.is_mask], {one.scene for one in masks})
    if not images:
        raise DataError(
            f"all {len(files)} files look like masks by their names, {files[0].path} for one",
            where=root,
            remedy="put images into images/ and masks into masks/, or write a manifest by hand: "
            "rsmtdf data copy folder mine.yaml",
        )
    if not {one.scene for one in masks} & {one.scene for one in images}:
        masks = []
    fields = _fields([*images, *masks])
    pattern = _pattern(images, fields)
    mask_pattern = _pattern(masks, fields) if masks else None
    return _checked(root, pattern, mask_pattern, len(files))


def _image_files(root: Path) -> Iterator[str]:
    """Paths of all images below the root, sorted, hidden files and links to folders left out."""
    for folder, names, files in os.walk(root):
        at = Path(folder).relative_to(root)
        names[:] = (
            sorted(one for one in names if not one.startswith("."))
            if len(at.parts) < _DEPTH
            else []
        )
        for name in sorted(files):
            if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES):
                yield (at / name).as_posix()


def _words(text: str) -> list[str]:
    return [one.lower() for one in _WORDS.findall(text)]


def _taken_apart(path: str) -> _File:
    *folders, name = path.split("/")
    stem, dot, suffix = name.rpartition(".")
    known = _MASK_WORDS | _IMAGE_WORDS
    kind_at = next(
        (at for at, folder in reversed(list(enumerate(folders))) if known & set(_words(folder))), -1
    )
    kind = folders[kind_at] if kind_at >= 0 else ""
    match = re.fullmatch(r"(.+?)([_\-. ]?)([A-Za-z]+)", stem)
    tail = ""
    if match and match[2] and match[3].lower() in known:
        stem, tail = match[1], match[2] + match[3]
    said = set(_words(tail)) or set(_words(kind))
    rest = tuple(folder for at, folder in enumerate(folders) if at != kind_at)
    is_mask = bool(said & _MASK_WORDS) or bool(set(_words(kind)) & _MASK_WORDS)
    return _File(path, rest, kind_at, kind, stem, tail, dot + suffix, is_mask)


def _most_common(files: list[_File], scenes: set[tuple[str, ...]] | None = None) -> list[_File]:
    """The files of the form that most have, or, where `scenes` are given, that names most of them."""
    if not files:
        return []
    counts = Counter(one.form for one in files)
    if scenes:
        paired = Counter(one.form for one in files if one.scene in scenes)
        counts = Counter({form: len(files) * paired[form] + n for form, n in counts.items()})
    form = max(sorted(counts), key=lambda one: counts[one])
    return [one for one in files if one.form == form]


def _fields(files: list[_File]) -> tuple[str, ...]:
    """For each folder on the way: the name of its field, or nothing where all files share it."""
    depth = len(files[0].folders)
    names: list[str] = []
    free = list(_FIELDS)
    for at in range(depth):
        values = {one.folders[at] for one in files}
        if len(values) == 1:
            names.append("")
        elif {value.lower() for value in values} <= _SPLIT_WORDS and "split" not in names:
            names.append("split")
        else:
            names.append(free.pop(0))
    return tuple(names)


def _pattern(files: list[_File], fields: tuple[str, ...]) -> str:
    first = files[0]
    folders = [f"{{{field}}}" if field else first.folders[at] for at, field in enumerate(fields)]
    if first.kind_at >= 0:
        folders.insert(first.kind_at, first.kind)
    suffixes = {one.suffix for one in files}
    suffix = suffixes.pop() if len(suffixes) == 1 else ".*"
    return "/".join([*folders, f"{{name}}{first.tail}{suffix}"])


def _checked(root: Path, images: str, masks: str | None, files: int) -> Layout:
    """The layout as the patterns really match it."""
    try:
        fields = pattern_fields(images)
    except ValueError as error:
        remedy = "rename the folder or file, so that it has no brace and no star in its name"
        raise DataError(str(error), where=root, remedy=remedy) from None
    found = match_files(root, images, fields)
    paired = match_files(root, masks, fields) if masks is not None else {}
    if both := sorted(set(found.values()) & set(paired.values())):
        raise DataError(
            f"the pattern {images} of the images takes in masks too, {both[0]} for one",
            where=root,
            remedy="move the masks into a folder of their own, masks/",
        )
    mask_files = tuple(path for key, path in paired.items() if key in found)
    left = files - len(found) - len(mask_files)
    return Layout(
        images=images,
        masks=masks if mask_files else None,
        pairs=tuple((dict(zip(fields, key, strict=True)), key in paired) for key in found),
        image_files=tuple(found.values()),
        mask_files=mask_files,
        why=_why(len(found), len(mask_files), left),
    )


def _why(images: int, masks: int, left: int) -> str:
    parts: Iterable[str] = (
        f"{images} images, {masks} of them with a mask",
        f"{left} image files fit neither pattern" if left else "",
    )
    return "; ".join(filter(None, parts))
