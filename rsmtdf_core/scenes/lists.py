"""Lists of scenes in text files, one per line, as written by people and other projects.

Line endings of any system, a byte order mark, surrounding spaces and empty lines make no difference. Likely mistakes
are refused, with the file and the line.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.images.formats import IMAGE_SUFFIXES

# Names may have spaces, so a line is split after an image suffix.
_SUFFIX = "|".join(re.escape(suffix) for suffix in IMAGE_SUFFIXES)
_PAIR = re.compile(rf"(?P<image>.+?(?:{_SUFFIX}))[ \t]+(?P<mask>.+(?:{_SUFFIX}))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ListedPair:
    """A line of a list of crops.

    Attributes:
        line: the file and the line number, for messages.
        image: posix path of the image as listed.
        mask: posix path of the mask as listed.
    """

    line: str
    image: str
    mask: str


def read_scene_list(folder: Path, name: str) -> list[str]:
    """Read the scene ids in a list file of a manifest.

    Args:
        folder: the manifest's folder.
        name: path of the list below that folder.

    Raises:
        MissingFileError: If the file is missing.
        DataError: If the path leaves the folder, or the file is not text or lists a scene twice.
    """
    _require_inside(name, f"list '{name}' of a manifest in {folder}")
    return [text for _, text in _lines(folder / name)]


def read_pair_list(path: Path, *, may_be_empty: bool = False) -> list[ListedPair]:
    """Read the crops of an official list, with lines `image mask`.

    Args:
        path: the list.
        may_be_empty: accept a list without lines, such as that of unlabeled crops if all crops are labeled.

    Raises:
        MissingFileError: If the file is missing.
        DataError: If the file is not text or is empty, or if a line is not a pair of images, has a path that leaves
            the root, or occurs twice.
    """
    pairs = []
    for line, text in _lines(path):
        match = _PAIR.fullmatch(text.replace("\\", "/"))
        if match is None:
            raise DataError(
                f"expected an image and a mask with a space between them, found '{text}'",
                where=line,
                remedy="write one crop per line, such as: image/a_1.tif label/a_1.tif",
            )
        for part in match.groups():
            _require_inside(part, line)
        pairs.append(ListedPair(line, match["image"], match["mask"]))
    if not pairs and not may_be_empty:
        raise DataError("the list is empty", where=path, remedy="download the list again")
    return pairs


def _lines(path: Path) -> list[tuple[str, str]]:
    """Return position and text of each line that is not empty."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MissingFileError(
            "the list is missing", where=path, remedy="restore the list, or correct its name"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the list cannot be read as text: {error}",
            where=path,
            remedy="save it as plain text in UTF-8, one scene or crop per line",
        ) from None
    first: dict[str, int] = {}
    lines = []
    for number, line in enumerate(content.splitlines(), 1):
        if not (text := line.strip()):
            continue
        if text in first:
            raise DataError(
                f"'{text}' is already in line {first[text]}",
                where=f"{path}, line {number}",
                remedy="remove one of the two lines",
            )
        first[text] = number
        lines.append((f"{path}, line {number}", text))
    return lines


def _require_inside(path: str, line: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or re.match("[A-Za-z]:", path):
        raise DataError(
            f"'{path}' leads out of the folder that it is relative to",
            where=line,
            remedy="write paths relative to the data root, without ..",
        )
