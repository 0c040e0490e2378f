"""Path patterns such as "{area}/images/{name}.jpg": one line of a manifest, not a list of files.

Each `{field}` stands for part of one path segment and never starts with a dot, so hidden files (as
the "._scene.png" that some systems leave in archives) are no scenes. A pattern that ends in ".*"
takes any known image type.
"""

import glob
import re
from collections.abc import Collection
from pathlib import Path

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.images.formats import IMAGE_SUFFIXES
from rsmtdf_core.words import readable

_FIELD = re.compile(r"\{([a-z_]+)\}")


def pattern_fields(pattern: str) -> tuple[str, ...]:
    """The names of a pattern's fields, in their order.

    Raises:
        ValueError: the pattern has no field, leaves the root, or has a brace or star out of place.
    """
    fields = tuple(dict.fromkeys(_FIELD.findall(pattern)))
    literal = _FIELD.sub("", pattern.removesuffix(".*"))
    if not fields:
        raise ValueError(f'a path pattern needs a field such as {{name}}, found "{pattern}"')
    if re.search(r"[{}*?]", literal):
        raise ValueError(
            f'"{pattern}": a field is a lower-case word in braces, a star only ends it as ".*"'
        )
    if pattern.startswith("/") or ".." in pattern.split("/") or "\\" in pattern:
        raise ValueError(f'"{pattern}": a path pattern is relative to the data root')
    return fields


def match_pairs(
    root: Path, images: str, masks: str | None, fields: tuple[str, ...]
) -> tuple[dict[tuple[str, ...], str], dict[tuple[str, ...], str]]:
    """The files of two patterns, each as `match_files` returns them.

    A file that both match belongs to the pattern with more fixed characters: a_mask.png to "{name}_mask.png" rather
    than to "{name}.png".

    Raises:
        MissingFileError, DataError: as for `match_files`.
    """
    if masks is None:
        return match_files(root, images, fields), {}
    if _fixed(masks) < _fixed(images):
        found = match_files(root, images, fields)
        return found, match_files(root, masks, fields, without=set(found.values()))
    found = match_files(root, masks, fields)
    return match_files(root, images, fields, without=set(found.values())), found


def match_files(
    root: Path, pattern: str, fields: tuple[str, ...], without: Collection[str] = ()
) -> dict[tuple[str, ...], str]:
    """The files below `root` that a pattern matches, by the values of `fields`, in sorted order.

    Args:
        root: the data root.
        pattern: relative to it.
        fields: of the pattern, in the order of the keys.
        without: files that are left out, posix paths relative to the root.

    Returns:
        posix paths relative to the root.

    Raises:
        MissingFileError: the root is not a folder.
        DataError: two files have the same field values, say a.png and a.jpg.
    """
    if not root.is_dir():
        raise MissingFileError(
            "the data root is not a folder",
            where=root,
            remedy="give the dataset's folder as the root",
        )
    regex = re.compile(_regex(pattern))
    found: dict[tuple[str, ...], str] = {}
    for path in sorted(file.relative_to(root).as_posix() for file in root.glob(_glob(pattern))):
        match = regex.fullmatch(path)
        if match is None or path in without:
            continue
        key = tuple(readable(match[field]) for field in fields)
        if key in found:
            raise DataError(
                f"two files stand for one scene: {found[key]} and {path}",
                where=root,
                remedy="remove one of them, or name one image type in the manifest's pattern",
            )
        found[key] = path
    return dict(sorted(found.items()))


def _fixed(pattern: str) -> int:
    return len(_FIELD.sub("", pattern.removesuffix(".*")))


def _glob(pattern: str) -> str:
    literals = _FIELD.split(pattern.removesuffix(".*"))[::2]
    return "*".join(glob.escape(part) for part in literals) + (
        ".*" if pattern.endswith(".*") else ""
    )


def _regex(pattern: str) -> str:
    regex = ""
    seen: set[str] = set()
    for number, part in enumerate(_FIELD.split(pattern.removesuffix(".*"))):
        if number % 2 == 0:
            regex += re.escape(part)
        elif part in seen:
            regex += f"(?P={part})"
        else:
            seen.add(part)
            regex += f"(?P<{part}>[^/.][^/]*?)"
    if pattern.endswith(".*"):
        regex += f"(?i:{'|'.join(map(re.escape, IMAGE_SUFFIXES))})"
    return regex
