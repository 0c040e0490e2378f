"""Labels of named images in their pixels: the parts that files of all annotation tools share (tests: test_coco.py).

A file lists images by names that tools write in many ways: with folders of the machine they ran on, backslashes, or
suffixes of their own. `AnnotationFile.find` finds the entry of an image on disk.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.shapes.features import Geometries, Note

Size = tuple[int, int]
"""Width and height, px."""

_ABSOLUTE = re.compile(r"/|[A-Za-z]:|[a-z][a-z0-9+.-]*://")
# Roboflow stores IMG_1.JPG as IMG_1_JPG.rf.0123abcd.jpg.
_ROBOFLOW = re.compile(r"(?P<stem>.+)_(?P<suffix>[A-Za-z]{3,4})\.rf\.[0-9A-Za-z]+\.[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """An image as a file of labels lists it.

    Attributes:
        number: its place in the file.
        name: its path or name in the file.
        size: the size of the image that was labeled; None if the file does not state it.
    """

    number: int
    name: str
    size: Size | None

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders and the name."""
        return _parts(self.name)

    @property
    def original(self) -> str | None:
        """The name before Roboflow renamed the image; None if it did not."""
        match = _ROBOFLOW.fullmatch(self.parts[-1])
        return None if match is None else f"{match['stem']}.{match['suffix']}"

    def agreement(self, image: tuple[str, ...]) -> int:
        """Return the number of last parts that the path shares with that of an image of this name; 0 if they differ."""
        own = (*self.parts[:-1], image[-1])
        shared = 1
        while shared < min(len(own), len(image)) and own[-1 - shared] == image[-1 - shared]:
            shared += 1
        return shared if self._elsewhere or shared in (len(own), len(image)) else 0

    @property
    def _elsewhere(self) -> bool:
        """Whether the folders are those of another machine."""
        return bool(_ABSOLUTE.match(self.name)) or ".." in self.parts

    def require_size(self, size: Size, image: str, path: Path) -> None:
        """Refuse an image of another size than the labeled one.

        Raises:
            DataError: If so.
        """
        if self.size is None or self.size == size:
            return
        turned = self.size == size[::-1]
        hint = ": they lack the turn of its EXIF orientation" if turned else ""
        raise DataError(
            f"{image} has {size[0]} x {size[1]} px, its labels are of {self.size[0]} x {self.size[1]} px{hint}",
            where=path,
            remedy="export the labels for the image as viewers show it"
            if turned
            else "use the images that were labeled, or export the labels for these images",
        )


@dataclass(frozen=True)
class Shapes:
    """The shapes of an image in its pixels; x is 0 at its left border and its width at the right one.

    Attributes:
        geometries: geometries of any type [N]; None for a shape without one.
        values: the name of the category of each shape; `UNOUTLINED` if its outline is unknown.
        names: the name of each shape for messages.
    """

    geometries: Geometries
    values: Sequence[str]
    names: Sequence[str]


@dataclass(frozen=True, eq=False)
class AnnotationFile:
    """A file of an annotation tool.

    Attributes:
        path: the file.
        noun: the word for the values of its shapes, such as categories.
        entries: the listed images.
        counts: number of shapes of each value.
        nonempty: numbers of the entries with at least one shape.
        shapes: returns the shapes of an entry, whose image has a size.
        notes: facts about shapes that are not used.
        paired: whether the file is that of one image by its own name, so that the name of its entry does not matter.
    """

    path: Path
    noun: str
    entries: tuple[Entry, ...]
    counts: Mapping[str, int]
    nonempty: frozenset[int]
    shapes: Callable[[Entry, Size], Shapes]
    notes: tuple[Note, ...] = ()
    paired: bool = False

    def find(self, image: str) -> Entry | None:
        """Return the entry of an image, a posix path; None if the file does not list it.

        An entry belongs to an image if the path of one ends with that of the other. Folders of another machine need not
        agree, and a name that Roboflow gave may be replaced by the original one. The longest agreement wins.

        Raises:
            DataError: If several entries agree equally well.
        """
        if self.paired:
            return self.entries[0]
        parts = _parts(image)
        for names in (self._by_name, self._by_original):
            lengths = {entry: entry.agreement(parts) for entry in names.get(parts[-1], ())}
            longest = max(lengths.values(), default=0)
            if not longest:
                continue
            entries = [entry for entry, length in lengths.items() if length == longest]
            if len(entries) > 1:
                raise DataError(
                    f"{len(entries)} images of the file may be {image}: {entries[0].name}, {entries[1].name}",
                    where=self.path,
                    remedy="keep one of them in the file, or arrange the images in the folders that it names",
                )
            return entries[0]
        return None

    def notes_on(self, image: str, entry: Entry) -> tuple[Note, ...]:
        """Return the notes on the file, and one if its own image has another name than `image`."""
        named = PurePosixPath(entry.parts[-1]).stem
        if not self.paired or named in ("", PurePosixPath(_parts(image)[-1]).stem):
            return self.notes
        text = "the labels name another image, such as {example}"
        return (*self.notes, Note(text, example=f"{entry.parts[-1]} for {image}"))

    @cached_property
    def _by_name(self) -> Mapping[str, list[Entry]]:
        names = defaultdict(list)
        for entry in self.entries:
            names[entry.parts[-1]].append(entry)
        return names

    @cached_property
    def _by_original(self) -> Mapping[str, list[Entry]]:
        names = defaultdict(list)
        for entry in self.entries:
            if entry.original is not None:
                names[entry.original].append(entry)
        return names


def _parts(path: str) -> tuple[str, ...]:
    """Return folders and name of a path with slashes or backslashes; composed and decomposed letters are the same."""
    plain = unicodedata.normalize("NFC", path.replace("\\", "/"))
    parts = PurePosixPath(plain).parts
    return tuple(part for part in parts if part.strip("/")) or ("",)
