"""Teachers from timm: transformers with a tap after a block, CNNs with a tap at a feature level."""

from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.positions import resize_position
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.teachers.family import Statistics
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.weights import timm_models
from rsmtdf_core.weights.states import StateDict, load_exactly, timm_state
from rsmtdf_core.weights.timm_layout import UnfitSizeError, find_layout
from rsmtdf_core.weights.timm_models import Created, create, fetch_config, hub_file

__all__ = ["adaptation", "build", "fetch_config", "hub_file", "statistics"]


class _Tap(nn.Module):
    """A timm model that outputs one of its intermediate maps."""

    def __init__(self, model: nn.Module, block: int, norm: bool) -> None:
        super().__init__()
        self.model: Any = model  # timm's models have no common type
        self.block = block
        self.norm = norm

    def forward(self, images: Tensor) -> Tensor:
        """Compute tokens [B, H, W, D] of normalized images [B, bands, S, S]."""
        (map_BDHW,) = self.model.forward_intermediates(
            images, indices=[self.block], norm=self.norm, stop_early=True, intermediates_only=True
        )
        return map_BDHW.permute(0, 2, 3, 1).contiguous()  # type: ignore[no-any-return]  # untyped


def build(settings: TeacherSettings, crop: int, state: StateDict | None) -> nn.Module:
    """Build a timm model as a module from images to tokens (see `family.Family`)."""
    size = settings.input_size or crop
    bands = len(settings.seen_bands)
    chosen: dict[str, Any] = {} if bands == SHOWN else {"in_chans": bands}
    created = create(settings.model, for_weights=state is not None, **chosen)
    _require_block(settings, created.net)
    is_transformer = hasattr(created.net, "set_input_size")
    if is_transformer:
        _require_multiple(settings, created.net, size)
    options = _options(created, settings.model, size)
    if options:
        created = create(settings.model, for_weights=state is not None, **chosen, **options)
    model = created.net
    if state is not None:
        head = model.pretrained_cfg.get("classifier") or ()
        unused = (head,) if isinstance(head, str) else tuple(head)
        load_exactly(model, timm_state(created, state), tuple(f"{name}." for name in unused))
    if is_transformer and not options:
        _set_size(settings, model, size)
    return _Tap(model, settings.block, norm=settings.final_norm and is_transformer)


def statistics(settings: TeacherSettings) -> Statistics:
    """Return the mean and standard deviation that a model was trained with (see `family.Family`)."""
    return timm_models.statistics(settings.model)


def adaptation(settings: TeacherSettings, crop: int) -> dict[str, str]:
    """Return how the model is adapted to the size of its images (see `family.Family`).

    Earlier versions scaled Swin's windows with the image, and resized the positions of RADIO and FlexiViT like those of
    other models.
    """
    try:
        options = _named_options(
            settings.model, settings.input_size or crop, settings.weights != "random"
        )
    except TeacherError:
        return {}  # `build` reports an unknown model
    return dict(_ADAPTATIONS[option] for option in options if option in _ADAPTATIONS)


# By argument of `timm.create_model`, for models that `set_input_size` would change too.
_ADAPTATIONS = {
    "dynamic_img_size": ("windows", "as trained"),
    "img_size": ("positions", "as timm loads them"),
}


@lru_cache
def _named_options(name: str, size: int, has_weights: bool) -> dict[str, Any]:
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        created = create(name, for_weights=has_weights)
        return _options(created, name, size) if hasattr(created.net, "set_input_size") else {}


def _options(created: Created, name: str, size: int) -> dict[str, Any]:
    """Return the arguments of `timm.create_model` for images of `size` px; none for `set_input_size`, and for CNNs."""
    net, convert, _ = created
    config = net.pretrained_cfg
    if tuple(config["input_size"][-2:]) == (size, size):
        return {}
    # Windows stay as they were trained. `set_input_size` would scale them with the image, and resize their biases.
    if isinstance(getattr(net, "dynamic_img_size", None), bool) and not hasattr(net, "blocks"):
        return {"dynamic_img_size": True}
    # RADIO and FlexiViT resize their positions in another way, which `set_input_size` does not know.
    if isinstance(convert, partial) and "interpolation" in convert.keywords:
        return {"img_size": size}
    if hasattr(net, "set_input_size") or not config.get("fixed_input_size"):
        return {}
    try:
        return dict(find_layout(name, size, SHOWN).options)
    except UnfitSizeError:
        return {}  # the model then refuses the image with its own words


def _require_block(settings: TeacherSettings, model: nn.Module) -> None:
    if not hasattr(model, "forward_intermediates"):
        raise TeacherError(
            f"timm's {settings.model!r} does not give its intermediate maps",
            remedy="choose a model with forward_intermediates",
        )
    levels = len(model.feature_info)  # type: ignore[arg-type]  # nn.Module hides attribute types
    if not -levels <= settings.block < levels:
        raise TeacherError(
            f"{settings.model!r} has no block {settings.block}: expected {-levels} to {levels - 1}",
            remedy=f"correct block of teacher {settings.name!r}",
        )


def _require_multiple(settings: TeacherSettings, model: Any, size: int) -> None:  # noqa: ANN401 - see _Tap
    stride = model.feature_info[-1]["reduction"]
    if size % stride:
        raise TeacherError(
            f"{settings.model!r} needs a side that is a multiple of {stride} px, found {size}",
            remedy=f"set views.crop, or input_size of teacher {settings.name!r}, to "
            f"{size // stride * stride or stride} or {(size // stride + 1) * stride}",
        )


def _set_size(settings: TeacherSettings, model: Any, size: int) -> None:  # noqa: ANN401 - see _Tap
    trained = getattr(model, "pos_embed", None)
    model.set_input_size(img_size=(size, size))
    # The register models were trained with timm's way of resizing.
    if trained is not None and "patch14_dinov2" in settings.model:
        old, side = (
            round((trained.shape[1] - 1) ** 0.5),
            size // model.feature_info[-1]["reduction"],
        )
        resized = resize_position(trained.detach(), 1, (old, old), (side, side))
        model.pos_embed = nn.Parameter(resized)
