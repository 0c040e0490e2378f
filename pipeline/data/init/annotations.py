"""Guess the keys of a manifest for files of annotation tools (tests: test_init_annotations.py)."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pipeline.data.init.choice import ShapeChoice, ShapeGuess
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing import Layout
from rsmtdf_core.scenes.images.folder import files_below
from rsmtdf_core.scenes.patterns import match_files, pattern_fields
from rsmtdf_core.scenes.shapes.annotations import AnnotationFile
from rsmtdf_core.scenes.shapes.formats import FORMATS, read_annotations, recognized
from rsmtdf_core.scenes.shapes.settings import EVERYWHERE, NONEMPTY, AnnotationMasks
from rsmtdf_core.words import counted

_SUFFIX = ".json"
_IGNORED = ("", "__ignore__")  # LabelMe's name for pixels without a class
_WORD = re.compile(r"([^A-Za-z0-9]+)")
_BY_HAND = "name them: --labels annotations.json, or a pattern with fields of the images"


def find_annotations(root: Path) -> dict[str, list[str]]:
    """Return the files of annotation tools below a folder, posix paths relative to it, by the name of their format."""
    files: dict[str, list[str]] = {}
    for path in files_below(root):
        if path.suffix.lower() == _SUFFIX and (name := recognized(path)) is not None:
            files.setdefault(name, []).append(path.relative_to(root).as_posix())
    return files


def guess_annotations(
    root: Path, layout: Layout, masks: str, encoding: str, choice: ShapeChoice
) -> ShapeGuess:
    """Guess the keys for labels in files of a format.

    Args:
        root: the data root.
        layout: the images.
        masks: path pattern of the files.
        encoding: the name of their format in a manifest.
        choice: the user's choices.

    Raises:
        MissingFileError: If there is no such file.
        DataError: If a file cannot be read, or a choice does not fit.
    """
    fields = tuple(
        field for field in layout.fields if field in pattern_fields(masks, required=False)
    )
    paths = match_files(root, masks, fields) or {(): masks}
    files = {key: read_annotations(root / path, encoding) for key, path in paths.items()}
    counts: Counter[str] = Counter()
    for file in files.values():
        counts.update(file.counts)
    if not counts:
        raise DataError(
            "the labels hold no shape", where=root / masks, remedy="draw some, or name others"
        )
    if choice.field is not None:
        raise DataError(
            f"{FORMATS[encoding].title} has no attributes, its names are the classes",
            where="--field",
            remedy="omit --field",
        )
    if choice.annotated not in (None, EVERYWHERE, NONEMPTY):
        raise DataError(
            f"expected everywhere (all listed images) or nonempty (images with a shape), found '{choice.annotated}'",
            where="--annotated",
            remedy="name one of them; {values: [NAME]} in the manifest names shapes that mark the area",
        )
    annotated = choice.annotated or (None if choice.background is None else EVERYWHERE)
    ignore = choice.ignore or tuple(value for value in _IGNORED if counts[value])
    keys = {
        "encoding": encoding,
        "values": dict(choice.values),
        "ignore": ignore,
        "background": choice.background or (None if annotated is None else "background"),
        "annotated": annotated,
        "buffer": choice.buffer,
        "all_touched": choice.all_touched,
    }
    shapes = AnnotationMasks.model_validate(keys)
    labeled = _labeled(layout, files, fields, empty=annotated == EVERYWHERE)
    why = _why(encoding, len(files), counts, shapes)
    return ShapeGuess(masks, shapes, counts, why, frozenset(labeled))


def _labeled(
    layout: Layout,
    files: Mapping[tuple[str, ...], AnnotationFile],
    fields: Sequence[str],
    *,
    empty: bool,
) -> Iterator[str]:
    """Yield the labeled images.

    Args:
        layout: the images.
        files: the files of labels by the values of `fields`.
        fields: the fields of the images that decide their file.
        empty: whether an image without shapes is labeled, if a file lists it.
    """
    for (values, _), (image, *_more) in zip(layout.pairs, layout.image_files, strict=True):
        file = files.get(tuple(values[field] for field in fields))
        entry = None if file is None else file.find(image)
        if file is not None and entry is not None and (empty or entry.number in file.nonempty):
            yield image


def _why(encoding: str, files: int, counts: Mapping[str, int], shapes: AnnotationMasks) -> str:
    listed = ", ".join(f"{value or 'no label'} {count}" for value, count in sorted(counts.items()))
    around = {
        None: "pixels without a shape are ignored",
        EVERYWHERE: f"pixels without a shape are {shapes.background}",
        NONEMPTY: f"pixels without a shape are {shapes.background} in images with a shape",
    }[shapes.annotated if isinstance(shapes.annotated, str) else None]
    return (
        f"{FORMATS[encoding].title} in {counted(files, 'file')}, {sum(counts.values())} shapes: {listed}; "
        f"{around}"
    )


def label_pattern(root: Path, layout: Layout, paths: Sequence[str]) -> str:
    """Return the path pattern of files of labels: a single path, or one with fields of the images.

    A field replaces a folder, or a word of the name, that is its value in an image.

    Raises:
        DataError: If no pattern gives all files to images.
    """
    if len(paths) == 1:
        return paths[0]
    images = [values for values, _ in layout.pairs]
    by_stem: dict[str, list[Mapping[str, str]]] = {}
    for values, (image, *_more) in zip(images, layout.image_files, strict=True):
        by_stem.setdefault(PurePosixPath(image).stem, []).append(values)
    without_name = [{**values, "name": ""} for values in images]
    shared = list({tuple(values.items()): values for values in without_name}.values())
    votes: Counter[str] = Counter()
    for path in paths:
        near = by_stem.get(PurePosixPath(path).stem, shared)
        votes.update({_template(path, values) for values in near})
    pattern, number = min(votes.items(), key=lambda item: (-item[1], -item[0].count("{"), item[0]))
    if number == 1 or not pattern_fields(pattern, required=False):
        raise DataError(
            f"no masks, but {len(paths)} files with labels, whose names do not follow from those of the images: "
            f"{', '.join(paths[:3])}",
            where=root,
            remedy=f"{_BY_HAND}; or --images for images without labels",
        )
    return pattern


def _template(path: str, values: Mapping[str, str]) -> str:
    """Return a path with fields in place of their values."""
    folders = [_field_of(folder, values) for folder in PurePosixPath(path).parts[:-1]]
    stem, suffix = PurePosixPath(path).stem, PurePosixPath(path).suffix
    if values["name"] and values["name"] in stem:
        head, _, tail = stem.partition(values["name"])
        stem = f"{head}{{name}}{tail}"
    else:
        stem = "".join(_field_of(word, values) for word in _WORD.split(stem))
    return "/".join([*folders, stem + suffix])


def _field_of(text: str, values: Mapping[str, str]) -> str:
    fields = (field for field, value in values.items() if value == text != "")
    return next((f"{{{field}}}" for field in fields), text)
