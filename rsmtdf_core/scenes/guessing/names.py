"""Interpret the parts of a path: words for images and masks, and a part that names the scene.

A path can have several readings. In train-labels/a_mask.png the folder may be fixed text or the split "train"
before "-labels", and the scene may be named a_mask or a. All readings are kept; those that pair images with masks
decide (see `layout`).
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product

MASK_WORDS = frozenset({
    "mask", "masks", "label", "labels", "lab", "lbl", "annotation", "annotations", "annot",
    "annots", "ann", "anns", "gt", "gts", "truth", "groundtruth", "seg", "segmentation",
    "semantic", "instance", "instances", "target", "targets", "reference", "map", "maps",
})  # fmt: skip
IMAGE_WORDS = frozenset({
    "image", "images", "img", "imgs", "sat", "rgb", "irrg", "photo", "photos", "picture",
    "pictures", "input", "inputs",
})  # fmt: skip
# Words that accompany them: left_img_8bit, gtFine_labelIds, train-org-img.
_FILLERS = frozenset({
    "all", "binary", "bit", "class", "classes", "coarse", "color", "colors", "colour", "colours",
    "fine", "ground", "id", "ids", "jpeg", "jpg", "left", "org", "orig", "original", "ortho",
    "png", "right", "tif", "tiff",
})  # fmt: skip
_KNOWN = MASK_WORDS | IMAGE_WORDS | _FILLERS
# Pictures of masks, and masks that distinguish objects rather than classes, rank below others.
_MASK_DRAWBACKS = {
    **dict.fromkeys(("instance", "instances", "object", "objects"), 4),
    **dict.fromkeys(("color", "colors", "colour", "colours", "rgb", "vis", "overlay"), 2),
    **dict.fromkeys(("train", "coarse"), 1),
}
_FALSE_COLORS = "irrg"

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PARTS = re.compile(r"([_\-. ]+)")
_MOST_READINGS = 64

HOLE = "\0"
"""Marks a part of a form that differs between scenes; no path has this character."""

SceneName = tuple[str, ...]
"""The text of a path at the holes of its form, from left to right; the last is the scene's name."""


@dataclass(frozen=True)
class Form:
    """A path with holes for the parts that differ between scenes.

    Attributes:
        folders: the folders, each with a hole or fixed.
        name: the file name without its suffix, with a hole.
    """

    folders: tuple[str, ...]
    name: str

    @cached_property
    def words(self) -> Counter[str]:
        """The words of the fixed parts, in lower case."""
        return Counter(_words(" ".join((*self.folders, self.name))))

    @cached_property
    def fixed(self) -> int:
        """The number of fixed characters; of two equivalent forms, the shorter is simpler."""
        return sum(len(part.replace(HOLE, "")) for part in (*self.folders, self.name))

    @property
    def says_mask(self) -> bool:
        """Whether one of its words is a word for masks."""
        return not MASK_WORDS.isdisjoint(self.words)

    def is_mask_of(self, image: "Form") -> bool:
        """Whether this form has words for masks that the images' form lacks, and not the reverse."""
        added, lost = self.words - image.words, image.words - self.words
        return not MASK_WORDS.isdisjoint(added) and MASK_WORDS.isdisjoint(lost)

    @property
    def mask_drawbacks(self) -> int:
        """A penalty for words that make this form a poor choice among several kinds of masks."""
        return sum(_MASK_DRAWBACKS.get(word, 0) for word in self.words)

    @property
    def image_drawbacks(self) -> int:
        """The penalty among several kinds of images: 2 for infrared shown as red, 1 without a word for images."""
        return 2 if _FALSE_COLORS in self.words else int(IMAGE_WORDS.isdisjoint(self.words))


def readings(path: str) -> Iterator[tuple[Form, SceneName]]:
    """Yield the readings of a path, at most 64 and those of folders without known words.

    Args:
        path: posix path relative to the data root.
    """
    *folders, name = path.split("/")
    stem = name.rpartition(".")[0]
    names = list(_around_scene(stem))
    ways = (_around_value(folder) for folder in folders)
    for parts in islice(product(*ways), _MOST_READINGS):
        values = tuple(value for _, value in parts if value)
        for text, scene in names:
            yield Form(tuple(text for text, _ in parts), text), (*values, scene)
    if any(map(_has_kind, folders)):
        return
    # A folder without a known word may still hold all images: dop/a.tif next to masks/a.tif.
    for level, folder in enumerate(folders):
        fixed = tuple(folder if level == other else HOLE for other in range(len(folders)))
        values = (*folders[:level], *folders[level + 1 :])
        yield from ((Form(fixed, text), (*values, scene)) for text, scene in names)


def _around_value(folder: str) -> Iterator[tuple[str, str]]:
    """Yield a folder as text with a hole, and the text of the hole; empty for a fixed folder."""
    if not _has_kind(folder):
        yield HOLE, folder
        return
    yield folder, ""
    for before, value, after in _split(folder):
        yield f"{before}{HOLE}{after}", value


def _around_scene(stem: str) -> Iterator[tuple[str, str]]:
    yield HOLE, stem
    for before, value, after in _split(stem):
        yield f"{before}{HOLE}{after}", value


def _split(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the text without known words at its end, and without those at its start, if they name a kind of file."""
    parts = _PARTS.split(text)  # parts with their separators in between
    last = len(parts)
    while last > 1 and _is_known(parts[last - 1]):
        last -= 2
    if 0 < last < len(parts) and _has_kind("".join(parts[last:])) and parts[0]:
        yield "", "".join(parts[:last]), "".join(parts[last:])
    first = 0
    while first < len(parts) - 1 and _is_known(parts[first]):
        first += 2
    if 0 < first < len(parts) and _has_kind("".join(parts[:first])):
        yield "".join(parts[:first]), "".join(parts[first:]), ""


def _is_known(part: str) -> bool:
    words = set(_words(part))
    return bool(words) and (words <= _KNOWN or (words - {"train"} <= _KNOWN and "label" in words))


def _has_kind(text: str) -> bool:
    return not (MASK_WORDS | IMAGE_WORDS).isdisjoint(_words(text))


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(text)]
