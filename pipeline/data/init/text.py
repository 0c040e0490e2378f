"""A manifest as YAML with comments that tell what was seen."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from pipeline.data.init.looking import Looked
from rsmtdf_core.scenes.guessing import MaskGuess, SplitGuess, Value
from rsmtdf_core.scenes.manifest import ClassSpec, SplitSpec
from rsmtdf_core.words import readable

_PLAIN = re.compile(r"[A-Za-z0-9_./+=:@-]+")
_ONE_LINE = 2**31  # characters, where YAML would break text into lines


def manifest_text(
    looked: Looked,
    path: Path,
    classes: Sequence[ClassSpec],
    masks: MaskGuess | None,
    splits: SplitGuess,
) -> str:
    """The manifest as YAML.

    Args:
        looked: what was seen.
        path: where it will be written.
        classes: in the order of their ids.
        masks: how they encode classes; None where there are none.
        splits: which scenes are for what.
    """
    layout = looked.layout
    title = readable(looked.root.resolve().name)
    lines = [
        "# Guessed by `rsmtdf data init`: look through it, mend what is wrong, and check it with",
        f"#   rsmtdf data check {_word(path)} --root {_word(looked.root)}",
        f"name: {_text(_slug(title))}",
        f"title: {_text(title)}",
        "classes:    # in the order of their ids: the first is 0",
        *_class_lines(classes, masks),
        f"images: {_text(layout.images)}",
        f"masks: {'null' if layout.masks is None else _text(layout.masks)}",
        "mask_encoding:",
        *_encoding_lines(masks),
        *_band_lines(looked),
        "# window: {size: 512, stride: 512}    # for large rasters: scenes are windows of them",
        f"splits:    # {splits.why}",
        *(f"  {split}: {_split(spec)}" for split, spec in splits.splits.items()),
    ]
    return "\n".join(lines) + "\n"


def _slug(title: str) -> str:
    """A name as manifests have it: it starts with a letter."""
    name = re.sub(r"[^a-z0-9_-]+", "-", title.lower()).strip("-_")
    return name if re.match(r"[a-z]", name) else f"data-{name}".rstrip("-")


def _class_lines(classes: Sequence[ClassSpec], masks: MaskGuess | None) -> Iterator[str]:
    counts = {} if masks is None else masks.counts
    total = sum(counts.values()) or 1
    first = None if masks is None or masks.encoding == "colors" else masks.offset
    for number, spec in enumerate(classes):
        value: Value = spec.color if first is None else first + number
        share = 100 * counts.get(value, 0) / total
        yield f"  - {{name: {_text(spec.name)}, color: {_text(spec.color)}}}    # {share:.2f} % of the pixels"


def _encoding_lines(masks: MaskGuess | None) -> Iterator[str]:
    yield f"  encoding: {'indices' if masks is None else masks.encoding}"
    if masks is not None and masks.encoding == "indices":
        yield f"  offset: {masks.offset}    # the value of the first class in the masks"
    if masks is not None and masks.match != "exact":
        yield f"  match: {masks.match}    # below 128 a channel counts as 0, from 128 on as 255"
    yield f"  ignore: {_flow(() if masks is None else masks.ignore)}    # values that stand for no class"


def _band_lines(looked: Looked) -> Iterator[str]:
    if looked.bands is None:
        return
    yield f"bands:    # {', '.join(looked.kinds)}"
    yield f"  indices: {_flow(looked.bands.indices)}    # red, green, blue, then those for the student alone; from 1"
    if looked.bands.scale is not None:
        ranges = ", ".join(f"[{low:g}, {high:g}]" for low, high in looked.bands.scale)
        yield f"  scale: [{ranges}]    # what becomes black and white, for each of them"


def _split(spec: SplitSpec) -> str:
    if spec.scenes is not None:
        return f"{{scenes: {_flow(spec.scenes)}}}"
    parts = []
    if spec.where:
        where = (f"{field}: {_flow(values)}" for field, values in spec.where.items())
        parts.append(f"where: {{{', '.join(where)}}}")
    if spec.share != (0.0, 1.0):
        parts.append(f"share: [{spec.share[0]:g}, {spec.share[1]:g}]")
    return f"{{{', '.join(parts)}}}"


def _flow(values: Sequence[Value]) -> str:
    return f"[{', '.join(str(one) if isinstance(one, int) else _text(one) for one in values)}]"


def _text(text: str) -> str:
    """Text in double quotes: YAML would take a bare NO for false, 1e3 for a number and 2024-01-01 for a date."""
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=_ONE_LINE).rstrip("\n")


def _word(path: Path) -> str:
    text = str(path)
    return text if _PLAIN.fullmatch(text) else _text(text)
