"""Guess the keys of a manifest for labels that are drawn as geometries (tests: test_init_shapes.py)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.data.init.choice import ShapeChoice, ShapeGuess
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing import Layout
from rsmtdf_core.scenes.images.folder import files_below
from rsmtdf_core.scenes.patterns import match_files, pattern_fields
from rsmtdf_core.scenes.shapes.settings import EVERYWHERE, AnnotatedArea, ShapeMasks
from rsmtdf_core.scenes.shapes.vector import (
    field_names,
    layer_names,
    only_layer,
    read_layer,
    vector_files,
)

_SUFFIXES = (".gpkg", ".shp", ".geojson")
_FIELDS = ("class", "classname", "class_name", "label", "category", "type", "kind", "landcover")
_AREAS = ("annotated", "annotated_area", "area", "aoi", "extent")
_BACKGROUND = "background"
_MOST_VALUES = 100


def find_shapes(root: Path) -> list[str]:
    """Return the vector files below a folder, posix paths relative to it."""
    return [
        path.relative_to(root).as_posix()
        for path in files_below(root)
        if path.name.lower().endswith(_SUFFIXES)
    ]


def guess_shapes(root: Path, layout: Layout, masks: str, choice: ShapeChoice) -> ShapeGuess:
    """Guess the keys for labels in vector files.

    Args:
        root: the data root.
        layout: the images.
        masks: path pattern of the labels.
        choice: the user's choices.

    Raises:
        MissingFileError: If the labels are missing.
        DataError: If they cannot be read, or need a choice.
    """
    files = label_files(root, layout, masks)
    layers = layer_names(files[0])
    annotated = _annotated(root, choice, layers)
    without = (
        annotated.layer if isinstance(annotated, AnnotatedArea) and annotated.file is None else None
    )
    layer = only_layer(files[0], None, without)
    field = choice.field or _field(files[0], layer)
    values: Counter[str] = Counter()
    for file in files:
        values.update(
            read_layer(file, layer if len(layers) > 1 else None, field, None).values.tolist()
        )
    _require_classes(values, field, files[0])
    background = choice.background or (None if annotated is None else _BACKGROUND)
    encoding = ShapeMasks(
        encoding="shapes",
        field=field,
        layer=layer if len(layers) > 1 else None,
        values=dict(choice.values),
        ignore=choice.ignore or (("",) if field is not None and values[""] else ()),
        background=background,
        annotated=annotated,
        buffer=choice.buffer,
        all_touched=choice.all_touched,
    )
    return ShapeGuess(masks, encoding, values, _why(values, field, annotated))


def label_files(root: Path, layout: Layout, masks: str) -> list[Path]:
    """Return the files of labels that a pattern names, at least one.

    Raises:
        MissingFileError: If there is none.
        DataError: If the pattern is none.
    """
    try:
        fields = pattern_fields(masks, required=False)
    except ValueError as error:
        raise DataError(str(error), where=root, remedy="--labels labels.gpkg") from None
    matching = [field for field in layout.fields if field in fields]
    matches = match_files(root, masks, tuple(matching))
    paths = [root / path for path in matches.values()] or [root / masks]
    return [file for path in paths for file in vector_files(path)]


def _annotated(
    root: Path, choice: ShapeChoice, layers: Sequence[str]
) -> str | AnnotatedArea | None:
    wanted = choice.annotated
    if wanted is None:
        near = [name for name in layers if name.lower() in _AREAS]
        if len(near) == 1 and len(layers) > 1:
            return AnnotatedArea(layer=near[0])
        return None if choice.background is None else EVERYWHERE
    if wanted == EVERYWHERE:
        return EVERYWHERE
    if wanted in layers:
        return AnnotatedArea(layer=wanted)
    if (root / wanted).exists():
        return AnnotatedArea(file=wanted)
    raise DataError(
        f"'{wanted}' is neither everywhere nor a layer of the labels ({', '.join(layers)}) nor a file below the root",
        where="--annotated",
        remedy="name one of them",
    )


def _field(file: Path, layer: str) -> str | None:
    """Return the attribute that is named like classes, or the only one; None if there is none.

    Raises:
        DataError: If there are several others.
    """
    fields = [name for name in field_names(file, layer) if name.lower() not in ("id", "fid")]
    named = [name for name in fields if name.lower() in _FIELDS]
    if len(named) == 1 or len(fields) == 1:
        return (named or fields)[0]
    if not fields:
        return None
    raise DataError(
        f"several attributes may hold the classes: {', '.join(named or fields)}",
        where=file,
        remedy=f"name the one that does: --field {(named or fields)[0]}",
    )


def _require_classes(values: Mapping[str, int], field: str | None, file: Path) -> None:
    if not values:
        raise DataError(
            "the labels hold no shape", where=file, remedy="draw some, or name other labels"
        )
    if len(values) > _MOST_VALUES:
        raise DataError(
            f"the attribute '{field}' has {len(values)} values, too many for classes",
            where=file,
            remedy="name another one with --field",
        )


def _why(values: Mapping[str, int], field: str | None, annotated: object) -> str:
    listed = ", ".join(f"{value or 'no value'} {count}" for value, count in sorted(values.items()))
    shapes = f"{sum(values.values())} shapes" + ("" if field is None else f" by {field}: {listed}")
    around = {
        None: "pixels without a shape are ignored",
        EVERYWHERE: "pixels without a shape are background",
    }.get(annotated if isinstance(annotated, str) else None, "")
    if isinstance(annotated, AnnotatedArea):
        around = "background is inside of the annotated area, its outside is ignored"
    return f"{shapes}; {around}"
