"""A manifest as YAML, with comments on the contents of the folder."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from pipeline.data.init.choice import ShapeGuess
from pipeline.data.init.looking import Looked
from pipeline.data.init.naming import class_rows
from rsmtdf_core.scenes.guessing import MaskGuess, SplitGuess, Value
from rsmtdf_core.scenes.pixel_masks import ClassSpec
from rsmtdf_core.scenes.shapes.settings import AnnotatedArea, DrawnMasks, ShapeMasks
from rsmtdf_core.scenes.split_settings import BlockSpec, SplitSpec
from rsmtdf_core.words import readable

_PLAIN = re.compile(r"[A-Za-z0-9_./+=:@-]+")
_ONE_LINE = 2**31  # characters; a width that keeps YAML from breaking text into lines


def manifest_text(
    looked: Looked,
    path: Path,
    classes: Sequence[ClassSpec],
    masks: MaskGuess | None,
    splits: SplitGuess,
    *,
    by_order: bool = False,
) -> str:
    """Return the manifest as YAML.

    Args:
        looked: the contents of the folder.
        path: the file that will be written.
        classes: the classes in the order of their ids.
        masks: the encoding of the masks; None without masks.
        splits: the scenes of each split.
        by_order: whether to note that class names were assigned to colors by order alone.
    """
    layout = looked.layout
    title = readable(looked.root.resolve().name)
    lines = [
        "# Guessed by `rsmtdf data init`. Review it, correct mistakes, and check it with",
        f"#   rsmtdf data check {_word(path)} --root {_word(looked.root)}",
        f"name: {_text(_slug(title))}",
        f"title: {_text(title)}",
        "classes:    # in the order of their ids: the first is 0",
        *(
            [
                "  # The names were assigned to the colors in the order of the color values: check them."
            ]
            if by_order
            else []
        ),
        *_class_lines(classes, masks, looked.shapes),
        *_image_lines(layout.images),
        f"masks: {'null' if layout.masks is None else _text(layout.masks)}"
        if looked.shapes is None
        else f"masks: {_text(looked.shapes.masks)}",
        "mask_encoding:",
        *(_encoding_lines(masks) if looked.shapes is None else _shape_lines(looked.shapes)),
        *_band_lines(looked),
        _window_line(splits),
        f"splits:    # {splits.why}",
        *(f"  {split}: {_split(spec)}" for split, spec in splits.splits.items()),
        *_block_lines(splits.blocks),
    ]
    return "\n".join(lines) + "\n"


def _slug(title: str) -> str:
    """A valid manifest name, which starts with a letter."""
    name = re.sub(r"[^a-z0-9_-]+", "-", title.lower()).strip("-_")
    return name if re.match(r"[a-z]", name) else f"data-{name}".rstrip("-")


def _image_lines(patterns: Sequence[str]) -> Iterator[str]:
    if len(patterns) == 1:
        yield f"images: {_text(patterns[0])}"
        return
    yield "images:    # the bands of an image, on the grid of the first file"
    for number, pattern in enumerate(patterns, 1):
        yield f"  - {_text(pattern)}    # band {number}"


def _class_lines(
    classes: Sequence[ClassSpec], masks: MaskGuess | None, shapes: ShapeGuess | None
) -> Iterator[str]:
    for row in class_rows(classes, masks):
        note = f"    # {row.percent:.2f} % of the pixels"
        if shapes is not None:
            count = shapes.shapes_of(row.spec.name)
            note = f"    # {count} shapes" if count else ""
        yield f"  - {{name: {_text(row.spec.name)}, color: {_text(row.spec.color)}}}{note}"


def _encoding_lines(masks: MaskGuess | None) -> Iterator[str]:
    yield f"  encoding: {'indices' if masks is None else masks.encoding}"
    if masks is not None and masks.values:
        yield "  values:    # the class of each value; others are refused"
        for value, name in masks.values.items():
            yield f"    {value if isinstance(value, int) else _text(value)}: {_text(name)}"
    elif masks is not None and masks.encoding == "indices":
        yield f"  offset: {masks.offset}    # the value of the first class in the masks"
    if masks is not None and masks.match != "exact":
        yield f"  match: {masks.match}    # below 128 a channel counts as 0, from 128 on as 255"
    yield f"  ignore: {_flow(() if masks is None else masks.ignore)}    # values without a class"


def _shape_lines(shapes: ShapeGuess) -> Iterator[str]:
    encoding = shapes.encoding
    yield f"  encoding: {encoding.encoding}    # polygons, and lines and points with a buffer, drawn on the images"
    if isinstance(encoding, ShapeMasks) and encoding.field is not None:
        yield f"  field: {_text(encoding.field)}    # the attribute with the class"
    if isinstance(encoding, ShapeMasks) and encoding.layer is not None:
        yield f"  layer: {_text(encoding.layer)}"
    yield f"  ignore: {_flow(encoding.ignore)}    # values whose pixels are ignored"
    if encoding.values:
        yield "  values:    # classes by value; class names need no entry"
        yield from (f"    {_text(value)}: {_text(of)}" for value, of in encoding.values.items())
    else:
        yield "  # values: {1: road, 2: road}    # classes by value, if the values are not their names"
    if encoding.background is not None:
        yield f"  background: {_text(encoding.background)}    # in the annotated area, where no shape is"
    area = encoding.annotated
    if isinstance(area, AnnotatedArea):
        key, name = ("layer", area.layer) if area.file is None else ("file", area.file)
        yield f"  annotated: {{{key}: {_text(name or '')}}}    # its outside is ignored"
    elif area is not None:
        yield f"  annotated: {area}    # or {_others(encoding)}"
    else:
        yield f"  # annotated: everywhere    # with background, pixels without a shape; or {_others(encoding)}"
    if encoding.buffer is not None:
        unit = "m" if isinstance(encoding, ShapeMasks) else "px"
        yield f"  buffer: {encoding.buffer:g}    # {unit} around lines and points"
    yield f"  all_touched: {str(encoding.all_touched).lower()}    # true: also pixels whose center is outside"


def _others(encoding: DrawnMasks) -> str:
    """Return other values of `annotated`, for a comment."""
    if isinstance(encoding, ShapeMasks):
        return "an area: {layer: NAME}, {file: NAME}"
    return "nonempty: in images with a shape"


def _block_lines(blocks: BlockSpec | None) -> Iterator[str]:
    if blocks is not None:
        crs = "" if blocks.crs is None else f", crs: {_text(blocks.crs)}"
        yield (
            f"blocks: {{size: {blocks.size:g}, buffer: {blocks.buffer:g}, unit: {blocks.unit}{crs}}}    "
            "# scenes nearer than the buffer to another split are left out"
        )


def _window_line(splits: SplitGuess) -> str:
    window = splits.window
    if window is None:
        return (
            "# window: {size: 512, stride: 512}    # for large rasters: scenes are windows of them"
        )
    return f"window: {{size: {window.size}, stride: {window.stride}}}    # scenes are windows of the rasters, px"


def _band_lines(looked: Looked) -> Iterator[str]:
    if looked.bands is None:
        return
    yield f"bands:    # {', '.join(looked.kinds)}"
    yield f"  indices: {_flow(looked.bands.indices)}    # red, green, blue, then bands for the student only; from 1"
    if looked.bands.scale is not None:
        ranges = ", ".join(f"[{low:g}, {high:g}]" for low, high in looked.bands.scale)
        yield f"  scale: [{ranges}]    # the values that become black and white, for each band"


def _split(spec: SplitSpec) -> str:
    if spec.scenes is not None:
        return f"{{scenes: {_flow(spec.scenes)}}}"
    parts = []
    if spec.where:
        where = (f"{field}: {_flow(values)}" for field, values in spec.where.items())
        parts.append(f"where: {{{', '.join(where)}}}")
    if spec.share != (0.0, 1.0):
        parts.append(f"share: [{spec.share[0]:g}, {spec.share[1]:g}]")
    if spec.by != "parent":
        parts.append(f"by: {spec.by}")
    return f"{{{', '.join(parts)}}}"


def _flow(values: Sequence[Value]) -> str:
    return (
        f"[{', '.join(str(value) if isinstance(value, int) else _text(value) for value in values)}]"
    )


def _text(text: str) -> str:
    """Quote a text: YAML would read a bare NO as false, 1e3 as a number and 2024-01-01 as a date."""
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=_ONE_LINE).rstrip("\n")


def _word(path: Path) -> str:
    text = str(path)
    return text if _PLAIN.fullmatch(text) else _text(text)
