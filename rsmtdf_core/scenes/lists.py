"""Lists of scenes in text files, as people and other projects write them: one a line.

Line ends of any system, a byte order mark, spaces at the ends and empty lines make no difference. What could be
a mistake is refused, with the file and the line.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.images.formats import IMAGE_SUFFIXES

# Names may have spaces, so a line is parted behind an image's ending.
_SUFFIX = "|".join(re.escape(suffix) for suffix in IMAGE_SUFFIXES)
_PAIR = re.compile(rf"(?P<image>.+?(?:{_SUFFIX}))[ \t]+(?P<mask>.+(?:{_SUFFIX}))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ListedPair:
    """One line of a list of crops.

    Attributes:
        place: the file and the line's number, for messages.
        image: posix path as the line has it.
        mask: the same.
    """

    place: str
    image: str
    mask: str


def read_scene_list(folder: Path, name: str) -> list[str]:
    """The ids in a manifest's list file.

    Args:
        folder: the manifest's.
        name: of the file, a path below that folder.

    Raises:
        MissingFileError: the file is missing.
        DataError: it lies elsewhere, is no text or names a scene twice.
    """
    _require_inside(name, f"list '{name}' of a manifest in {folder}")
    return [text for _, text in _lines(folder / name)]


def read_pair_list(path: Path, *, may_be_empty: bool = False) -> list[ListedPair]:
    """The crops of an official list, `image mask` a line.

    Args:
        path: the list.
        may_be_empty: whether a list without a line is meant so, as that of unlabeled crops where all are labeled.

    Raises:
        MissingFileError: the file is missing.
        DataError: it is no text, a line is no pair of images, has a path that leaves the root, or comes
            twice; or the list is empty.
    """
    pairs = []
    for place, text in _lines(path):
        match = _PAIR.fullmatch(text.replace("\\", "/"))
        if match is None:
            raise DataError(
                f"expected an image and a mask with a space between them, found '{text}'",
                where=place,
                remedy="write one crop a line, such as: image/a_1.tif label/a_1.tif",
            )
        for part in match.groups():
            _require_inside(part, place)
        pairs.append(ListedPair(place, match["image"], match["mask"]))
    if not pairs and not may_be_empty:
        raise DataError("the list is empty", where=path, remedy="fetch the list again")
    return pairs


def _lines(path: Path) -> list[tuple[str, str]]:
    """Place and text of each line that has one."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MissingFileError(
            "the list is missing", where=path, remedy="put it there, or name the list that is meant"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the list cannot be read as text: {error}",
            where=path,
            remedy="save it as plain text in UTF-8, one scene or crop a line",
        ) from None
    first: dict[str, int] = {}
    lines = []
    for number, line in enumerate(content.splitlines(), 1):
        if not (text := line.strip()):
            continue
        if text in first:
            raise DataError(
                f"'{text}' is in line {first[text]} already",
                where=f"{path}, line {number}",
                remedy="remove one of the two lines",
            )
        first[text] = number
        lines.append((f"{path}, line {number}", text))
    return lines


def _require_inside(path: str, place: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or re.match("[A-Za-z]:", path):
        raise DataError(
            f"'{path}' leads out of the folder that it is relative to",
            where=place,
            remedy="write paths relative to the data root, without ..",
        )
