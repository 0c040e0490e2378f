"""Path patterns such as "{area}/images/{name}.jpg": one line of a manifest instead of a list of files.

Each `{field}` matches a part of one path segment that does not start with a dot, so hidden files (such as
"._scene.png", which some systems leave in archives) are not scenes. A pattern that ends in ".*" matches every known
image suffix. A pattern such as "items.json#{name}/visual" matches the assets of STAC items (see `stac`).
"""

import glob
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.images.formats import IMAGE_SUFFIXES
from rsmtdf_core.scenes.stac import asset_pattern, match_assets
from rsmtdf_core.words import readable

_FIELD = re.compile(r"\{([a-z_]+)\}")


def pattern_fields(pattern: str, *, required: bool = True) -> tuple[str, ...]:
    """Return the names of a pattern's fields, in order.

    Args:
        pattern: the pattern.
        required: whether there must be a field.

    Raises:
        ValueError: If the pattern lacks a required field, leaves the root, or has a misplaced brace or star.
    """
    asset_pattern(pattern)
    fields = tuple(dict.fromkeys(_FIELD.findall(pattern)))
    literal = _FIELD.sub("", pattern.removesuffix(".*"))
    if not fields and required:
        raise ValueError(f'a path pattern needs a field such as {{name}}, found "{pattern}"')
    if re.search(r"[{}*?]", literal):
        raise ValueError(
            f'"{pattern}": a field is a lower-case word in braces, and a star may only occur in a final ".*"'
        )
    if pattern.startswith("/") or ".." in pattern.split("/") or "\\" in pattern:
        raise ValueError(f'"{pattern}": a path pattern is relative to the data root')
    return fields


Key = tuple[str, ...]


def match_pairs(
    root: Path, images: str, masks: str | None, fields: tuple[str, ...]
) -> tuple[dict[Key, str], dict[Key, str]]:
    """Return the files of two patterns, each as in `match_files`.

    A file that matches both belongs to the pattern with more fixed characters: a_mask.png to "{name}_mask.png", not
    to "{name}.png".

    Masks whose pattern has only some of the fields are keyed by these, in the order of `fields`.

    Raises:
        MissingFileError, DataError: As for `match_files`.
    """
    if masks is None:
        return match_files(root, images, fields), {}
    named = pattern_fields(masks, required=False)
    mask_fields = tuple(field for field in fields if field in named)
    if _fixed(masks) < _fixed(images):
        image_files = match_files(root, images, fields)
        without = set(image_files.values())
        return image_files, match_files(root, masks, mask_fields, without, partial=True)
    mask_files = match_files(root, masks, mask_fields, partial=True)
    return match_files(root, images, fields, without=set(mask_files.values())), mask_files


def match_stacks(
    root: Path, images: tuple[str, ...], masks: str | None, fields: tuple[str, ...]
) -> tuple[dict[Key, tuple[str, ...]], dict[Key, str]]:
    """Return the files of each image, one of each pattern, and the masks, as `match_pairs` does for one pattern.

    Raises:
        MissingFileError: Also if an image lacks a file.
        DataError: As for `match_files`.
    """
    pairs = [match_pairs(root, pattern, masks, fields) for pattern in images]
    found = [files for files, _ in pairs]
    for key in sorted(set().union(*found)):
        for pattern, files in zip(images, found, strict=True):
            if key not in files:
                raise MissingFileError(
                    f"the file of '{pattern}' is missing for the scene {'/'.join(key)}",
                    where=root,
                    remedy="restore the file, or move the other files of this scene away",
                )
    taken = {path for files in found for path in files.values()}
    stacks = {key: tuple(files[key] for files in found) for key in found[0]}
    lone = {key: mask for key, mask in pairs[0][1].items() if mask not in taken}
    return stacks, lone


def without_common_folders(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return patterns without the folders with which all of them begin."""
    parts = [pattern.split("/") for pattern in patterns]
    common = 0
    while all(len(part) > common + 1 for part in parts) and len({p[common] for p in parts}) == 1:
        common += 1
    return tuple("/".join(part[common:]) for part in parts)


def match_below(paths: Sequence[str], pattern: str) -> dict[tuple[str, Key], str]:
    """Return the paths that end in a pattern, by the folder before it and the values of its fields.

    Raises:
        DataError: If two paths have the same folder and values.
    """
    regex = re.compile(f"(?:(.*)/)?{_regex(pattern)}")
    fields = pattern_fields(pattern, required=False)
    found: dict[tuple[str, Key], str] = {}
    for path in paths:
        if (match := regex.fullmatch(path)) is None:
            continue
        key = match[1] or "", tuple(match[field] for field in sorted(fields))
        if key in found:
            raise _two_files(found[key], path, None)
        found[key] = path
    return found


def filled(pattern: str, other: str, path: str) -> str:
    """Return a pattern with the field values of a path that matches the pattern `other`."""
    match = re.fullmatch(_regex(other), path)
    values = {} if match is None else match.groupdict()
    return _FIELD.sub(lambda field: values[field[1]], pattern)


def match_files(
    root: Path,
    pattern: str,
    fields: tuple[str, ...],
    without: Collection[str] = (),
    *,
    partial: bool = False,
) -> dict[tuple[str, ...], str]:
    """Return the files below `root` that match a pattern, by the values of `fields`, sorted.

    A pattern without fields matches one file or folder.

    Args:
        root: the data root.
        pattern: a path pattern relative to the root.
        fields: the fields of the pattern, in the order of the keys.
        without: files to leave out, posix paths relative to the root.
        partial: whether STAC items may lack the asset of the pattern, as images may lack a mask.

    Returns:
        Posix paths relative to the root.

    Raises:
        MissingFileError: If the root is not a folder, or an asset is missing.
        DataError: If two files have the same field values, such as a.png and a.jpg, or a STAC item does not fit.
    """
    if not root.is_dir():
        raise MissingFileError(
            "the data root is not a folder",
            where=root,
            remedy="name the dataset's folder as the root",
        )
    if (assets := asset_pattern(pattern)) is not None:
        return match_assets(root, assets, fields, partial=partial)
    regex = re.compile(_regex(pattern))
    files: dict[tuple[str, ...], str] = {}
    for path in sorted(file.relative_to(root).as_posix() for file in root.glob(_glob(pattern))):
        match = regex.fullmatch(path)
        if match is None or path in without:
            continue
        key = tuple(readable(match[field]) for field in fields)
        if key in files:
            raise _two_files(files[key], path, root)
        files[key] = path
    return dict(sorted(files.items()))


def _two_files(first: str, second: str, root: Path | None) -> DataError:
    return DataError(
        f"two files belong to one scene: {first} and {second}",
        where=root,
        remedy="remove one of them, or name one image suffix in the manifest's pattern",
    )


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
