"""Guess the keys of a manifest for labels that are drawn as geometries (tests: test_init_shapes.py)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from rsmtdf_core.words import counted

_SUFFIXES = (".gpkg", ".shp", ".geojson")
_FIELDS = ("class", "classname", "class_name", "label", "category", "type", "kind", "landcover")
_AREAS = ("annotated", "annotated_area", "area", "aoi", "extent")
_BACKGROUND = "background"
_MOST_VALUES = 100


@dataclass(frozen=True)
class ShapeChoice:
    """The user's choices; None is guessed.

    Attributes:
        labels: path pattern of the labels below the root: a file, a folder, or with the fields of the images.
        field: the attribute with the classes.
        background: the class of pixels without a shape.
        annotated: "everywhere", the name of a layer, or the path of a file below the root.
        buffer: distance around lines and points, m.
        all_touched: whether all touched pixels are labeled.
    """

    labels: str | None = None
    field: str | None = None
    background: str | None = None
    annotated: str | None = None
    buffer: float | None = None
    all_touched: bool = False


@dataclass(frozen=True)
class ShapeGuess:
    """The proposed keys for labels that are drawn as geometries.

    Attributes:
        masks: path pattern of the labels.
        encoding: the keys of the encoding.
        values: number of shapes of each value of the class field.
        why: the reason, as text.
    """

    masks: str
    encoding: ShapeMasks
    values: Mapping[str, int]
    why: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """The background, and then the values of the field."""
        marks = self.encoding.annotated
        area = marks.values if isinstance(marks, AnnotatedArea) else ()
        background = self.encoding.background
        values = sorted(value for value in self.values if value and value not in area)
        names = values if self.encoding.field is not None else ["foreground"]
        if background is None or background in names:
            return tuple(names)
        return (background, *names)


def find_shapes(root: Path) -> str | None:
    """Return the only vector file below a folder, a posix path relative to it; None without one.

    Raises:
        DataError: If there are several.
    """
    files = [
        path.relative_to(root).as_posix()
        for path in files_below(root)
        if path.name.lower().endswith(_SUFFIXES)
    ]
    if len(files) > 1:
        raise DataError(
            f"no masks, but {counted(len(files), 'file')} with shapes: {', '.join(files[:3])}",
            where=root,
            remedy="name the labels: --labels labels.gpkg, a folder, or 'labels/{name}.gpkg'; or --images for images "
            "without labels",
        )
    return files[0] if files else None


def guess_shapes(root: Path, layout: Layout, choice: ShapeChoice) -> ShapeGuess | None:
    """Guess the keys for the labels of images without masks; None if there are no labels either.

    Raises:
        MissingFileError: If the labels are missing.
        DataError: If they cannot be read, or need a choice.
    """
    masks = find_shapes(root) if choice.labels is None else choice.labels.rstrip("/")
    if masks is None:
        return None
    files = _label_files(root, layout, masks)
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
        ignore=("",) if field is not None and values[""] else (),
        background=background,
        annotated=annotated,
        buffer=choice.buffer,
        all_touched=choice.all_touched,
    )
    return ShapeGuess(masks, encoding, values, _why(values, field, annotated))


def _label_files(root: Path, layout: Layout, masks: str) -> list[Path]:
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
