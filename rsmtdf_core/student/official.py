"""Convert checkpoints of the official RS-MTDF code to this project's student.

The official names are those in the files. The files also contain the teachers and two parts that do
not affect the output; these are skipped.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rsmtdf_core.errors import RunError
from rsmtdf_core.student.dpt import HEAD_WIDTHS
from rsmtdf_core.student.settings import HeadSize
from rsmtdf_core.tokens import TokenShape

T = TypeVar("T")

PATCH = 14
# Side of the crops in the official code; CLIP sees them at 224 px, on a grid of 16 x 16.
CROP, CLIP_SIZE = 518, 224
_ENCODERS: dict[int, HeadSize] = {384: "small", 768: "base", 1024: "large", 1536: "giant"}

_TEACHERS = ("Dino_teacher_model.", "clip_model.")
_UNUSED = ("backbone.mask_token", "head.scratch.refinenet4.resConfUnit1.")
_LEVEL = "(?P<level>[1-4])"
_RENAMES = {
    r"backbone\.": "encoder.net.",
    r"head\.projects\.": "head.projects.",
    r"head\.resize_layers\.": "head.resizes.",
    rf"head\.scratch\.layer{_LEVEL}_rn\.": "head.adapters.{level}.",
    rf"head\.scratch\.refinenet{_LEVEL}\.resConfUnit1\.": "head.refiners.{level}.merge.",
    rf"head\.scratch\.refinenet{_LEVEL}\.resConfUnit2\.": "head.refiners.{level}.refine.",
    rf"head\.scratch\.refinenet{_LEVEL}\.out_conv\.": "head.refiners.{level}.out_conv.",
    r"head\.scratch\.output_conv\.": "head.output.",
    r"feature_translator_for_dino\.layer\.": "translators.{dino}.layers.",
    r"feature_translator_for_clip\.layer\.": "translators.{clip}.layers.",
    r"project_dino\.": "fusion.projections.{dino}.",
    r"project_clip\.": "fusion.projections.{clip}.",
}


class Shaped(Protocol):
    """A tensor or its description."""

    @property
    def shape(self) -> Sequence[int]:
        """Sizes by dimension."""


def from_official(
    state: Mapping[str, T], *, dino: str = "dino", clip: str = "clip"
) -> dict[str, T]:
    """Rename an official checkpoint's `model` state for a strict `Student.load_state_dict`.

    Args:
        state: tensors by official name, with or without the prefix `module.` of DDP.
        dino: name of the DINOv2 teacher in the config.
        clip: name of the CLIP teacher in the config.

    Raises:
        RunError: If the official student has no tensor of some name.
    """
    renamed: dict[str, T] = {}
    unknown = []
    for official, tensor in state.items():
        name = official.removeprefix("module.")
        if name.startswith(_TEACHERS + _UNUSED):
            continue
        ours = _rename(name, dino, clip)
        if ours is None:
            unknown.append(official)
        else:
            renamed[ours] = tensor
    if unknown:
        raise RunError(
            f"not an official RS-MTDF student: {len(unknown)} unknown names, such as '{unknown[0]}'",
            remedy="use the state under 'model' of a checkpoint of the official RS-MTDF code",
        )
    return renamed


@dataclass(frozen=True, slots=True)
class OfficialShape:
    """The sizes of an official student.

    Attributes:
        size: size of the DINOv2 encoder, `vit_<size>_patch14_dinov2`.
        head: size of the DPT head.
        classes: number of classes.
        translator_hidden: width of the translators' hidden layer.
        teachers: shapes of the teachers' tokens, DINOv2 and then CLIP.
    """

    size: HeadSize
    head: HeadSize
    classes: int
    translator_hidden: int
    teachers: tuple[TokenShape, TokenShape]


def official_shape(weights: Mapping[str, Shaped]) -> OfficialShape:
    """Infer the sizes of a student renamed by `from_official` (with its default names).

    Raises:
        RunError: If a required tensor is missing or has a size that the official code does not use.
    """

    def shape(name: str) -> list[int]:
        if name not in weights:
            raise RunError(
                f"not a complete official RS-MTDF student: nothing corresponds to our '{name}'",
                remedy="use a checkpoint that the official RS-MTDF code saved, such as best.pth",
            )
        return list(weights[name].shape)

    width = shape("encoder.net.cls_token")[-1]
    features, classes = shape("head.output.0.weight")[0], shape("head.output.2.weight")[0]
    heads = {HEAD_WIDTHS[head][0]: head for head in HEAD_WIDTHS}
    if width not in _ENCODERS or features not in heads:
        raise RunError(
            f"an encoder of width {width} with a head of {features} features is not an official size; "
            f"expected a width of {', '.join(map(str, _ENCODERS))} and features of "
            f"{', '.join(map(str, heads))}"
        )
    dino, clip = (shape(f"translators.{name}.layers.2.weight")[0] for name in ("dino", "clip"))
    grid, clip_grid = CROP // PATCH, CLIP_SIZE // PATCH
    return OfficialShape(
        size=_ENCODERS[width],
        head=heads[features],
        classes=classes,
        translator_hidden=shape("translators.dino.layers.0.weight")[0],
        teachers=(
            TokenShape("dino", grid, grid, dino),
            TokenShape("clip", clip_grid, clip_grid, clip, CLIP_SIZE),
        ),
    )


def _rename(name: str, dino: str, clip: str) -> str | None:
    for pattern, ours in _RENAMES.items():
        if match := re.match(pattern, name):
            level = int(match.groupdict().get("level", 1)) - 1
            return ours.format(level=level, dino=dino, clip=clip) + name[match.end() :]
    return None
