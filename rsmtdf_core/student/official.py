"""Checkpoints of the official RS-MTDF code, read into this project's student.

The official names are facts of those files. The teachers lie in them too, and so do two parts that
never feed the output: all of these are left out.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from rsmtdf_core.errors import RunError

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


def from_official(
    state: Mapping[str, Tensor], *, dino: str = "dino", clip: str = "clip"
) -> dict[str, Tensor]:
    """An official checkpoint's `model` state, ready for a strict `Student.load_state_dict`.

    Args:
        state: names as the official code saves them, with or without DDP's `module.` before each.
        dino: what the DINOv2 teacher is called in the config.
        clip: what the CLIP teacher is called in the config.

    Raises:
        RunError: names that the official student does not have.
    """
    renamed: dict[str, Tensor] = {}
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
            f"not an official RS-MTDF student: {len(unknown)} unknown names, one is '{unknown[0]}'",
            remedy="give the state under 'model' of a checkpoint of the official RS-MTDF code",
        )
    return renamed


def _rename(name: str, dino: str, clip: str) -> str | None:
    for pattern, ours in _RENAMES.items():
        if match := re.match(pattern, name):
            level = int(match.groupdict().get("level", 1)) - 1
            return ours.format(level=level, dino=dino, clip=clip) + name[match.end() :]
    return None
