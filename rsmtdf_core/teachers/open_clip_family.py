"""Teachers from open_clip: the patch tokens of a CLIP's visual transformer."""

from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.teachers import timm_family
from rsmtdf_core.teachers.family import Statistics
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.weights.states import StateDict, load_exactly, without_prefix, without_prefixes

# The text tower is discarded, so it is built as small as open_clip allows.
_NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 64, "heads": 1, "layers": 1}


class _Tap(nn.Module):
    """A visual transformer that outputs the patch tokens of a block, before the projection."""

    def __init__(self, visual: nn.Module, block: int, norm: bool) -> None:
        super().__init__()
        self.visual: Any = visual  # open_clip has no types
        self.block = block
        self.norm = norm

    def forward(self, images: Tensor) -> Tensor:
        """Compute tokens [B, H, W, D] of normalized images [B, 3, S, S]."""
        outputs = self.visual.forward_intermediates(
            images,
            indices=[self.block],
            stop_early=True,
            normalize_intermediates=self.norm,
            intermediates_only=True,
        )
        (map_BDHW,) = outputs["image_intermediates"]
        return map_BDHW.permute(0, 2, 3, 1).contiguous()  # type: ignore[no-any-return]  # untyped


def hub_file(model: str) -> tuple[str, str]:
    """Return the repository and file name of a CLIP's weights (see `family.Family`)."""
    import open_clip

    name, tag = _name_and_tag(model)
    repository, _, file = open_clip.get_pretrained_cfg(name, tag).get("hf_hub", "").rpartition("/")
    if not repository:
        tags = open_clip.list_pretrained_tags_by_model(name)
        raise TeacherError(
            f"open_clip has no weights {tag!r} of {name!r} on the hub",
            remedy=f"name one of {', '.join(tags) or 'another model'} after a dot "
            f"('{name}.TAG'), or set the teacher's weights to a path or to random",
        )
    return repository, file or "open_clip_model.safetensors"


def statistics(settings: TeacherSettings) -> Statistics:
    """Return the mean and standard deviation that a CLIP was trained with (see `family.Family`)."""
    import open_clip

    config = open_clip.get_pretrained_cfg(*_name_and_tag(settings.model))
    return (
        tuple(config.get("mean") or open_clip.OPENAI_DATASET_MEAN),
        tuple(config.get("std") or open_clip.OPENAI_DATASET_STD),
    )


def adaptation(settings: TeacherSettings, crop: int) -> dict[str, str]:
    """Return how a tower from timm is adapted to the size of its images (see `family.Family`)."""
    try:
        tower = _config(settings)["vision_cfg"].get("timm_model_name")
    except TeacherError:
        return {}  # `build` reports an unknown model
    if tower is None:
        return {}
    return timm_family.adaptation(settings.model_copy(update={"model": tower}), crop)


def build(settings: TeacherSettings, crop: int, state: StateDict | None) -> nn.Module:
    """Build a CLIP's visual transformer as a module from images to tokens (see `family.Family`)."""
    import open_clip

    if len(settings.seen_bands) != SHOWN:  # no weights of other bands exist
        raise TeacherError(
            f"open_clip's models see {SHOWN} bands, found {len(settings.seen_bands)}",
            remedy=f"name {SHOWN} bands for teacher {settings.name!r}, or use family timm",
        )
    config = _config(settings)
    if tower := config["vision_cfg"].get("timm_model_name"):
        trunk = state and (without_prefix(without_prefixes(state), "visual.trunk.") or state)
        return timm_family.build(settings.model_copy(update={"model": tower}), crop, trunk)
    if state is not None:
        _require_activation(settings, config, state)
    clip = open_clip.CLIP(
        config["embed_dim"],
        vision_cfg={**config["vision_cfg"], "image_size": _side(settings, config, crop)},
        text_cfg=_NO_TEXT,
        quick_gelu=config.get("quick_gelu", False),
    )
    visual = clip.visual
    _require_block(settings, visual.transformer.layers)
    if state is not None:
        load_exactly(visual, _fitted(clip, state), ())
    return _Tap(visual, settings.block, settings.final_norm)


def _name_and_tag(model: str) -> tuple[str, str]:
    name, _, tag = model.partition(".")
    return name, tag or "openai"


def _config(settings: TeacherSettings) -> dict[str, Any]:
    import open_clip

    name, _ = _name_and_tag(settings.model)
    models = open_clip.list_models()
    if name not in models:
        near = get_close_matches(name, models, n=3)
        raise TeacherError(
            f"open_clip has no model {name!r}"
            + f", did you mean {' or '.join(near)}?" * bool(near),
            remedy="correct the teacher's model; list all models: "
            "python -c 'import open_clip; print(*open_clip.list_models())'",
        )
    config: dict[str, Any] = open_clip.get_model_config(name)
    vision = config["vision_cfg"]
    if "timm_model_name" not in vision and not isinstance(vision["layers"], int):
        raise TeacherError(
            f"the visual tower of {name!r} is a CNN", remedy="choose a CLIP with a transformer"
        )
    return config


def _side(settings: TeacherSettings, config: dict[str, Any], crop: int) -> int:
    side, patch = settings.input_size or crop, config["vision_cfg"]["patch_size"]
    if side % patch:
        raise TeacherError(
            f"{settings.model!r} needs a side that is a multiple of {patch} px, found {side}",
            remedy=f"set input_size of teacher {settings.name!r} to a multiple; it was trained at "
            f"{config['vision_cfg']['image_size']} px",
        )
    return side


def _require_block(settings: TeacherSettings, blocks: int) -> None:
    if not -blocks <= settings.block < blocks:
        raise TeacherError(
            f"{settings.model!r} has no block {settings.block}: expected {-blocks} to {blocks - 1}",
            remedy=f"correct block of teacher {settings.name!r}",
        )


def _require_activation(
    settings: TeacherSettings, config: dict[str, Any], state: StateDict
) -> None:
    """Check that the model has the variant of GELU that its weights were trained with.

    Names and shapes of the weights are the same for both, so no other check would detect wrong tokens.
    """
    import open_clip

    name, tag = _name_and_tag(settings.model)
    trained = open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", False)
    # Only OpenAI's archives, all trained with QuickGELU, have this entry.
    quick = "input_resolution" in state or (settings.weights == "hub" and trained)
    if quick and not config.get("quick_gelu", False):
        raise TeacherError(
            f"these weights were trained with QuickGELU, which {name!r} does not compute",
            remedy=f"set model of teacher {settings.name!r} to {name}-quickgelu",
        )


def _fitted(clip: nn.Module, state: StateDict) -> StateDict:
    """Return the visual tower's tensors, with the position embedding resized to the model's grid if necessary."""
    from open_clip.model import resize_pos_embed

    named = without_prefixes(state, expected=clip.state_dict())
    visual = without_prefix(named, "visual.") or named
    resized = {f"visual.{name}": tensor for name, tensor in visual.items()}
    # The embedding of another model is left unchanged, so that `load_exactly` reports it.
    with suppress(RuntimeError, TypeError):
        resize_pos_embed(resized, clip)
    return without_prefix(resized, "visual.")
