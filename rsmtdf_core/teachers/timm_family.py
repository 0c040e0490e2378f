"""Teachers from timm: transformers with a tap after a block, CNNs with a tap at a feature level."""

from typing import Any

from torch import Tensor, nn

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.positions import resize_position
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.weights.states import StateDict, load_exactly, timm_state
from rsmtdf_core.weights.timm_models import hub_file, pretrained_config

__all__ = ["build", "hub_file"]


class _Tap(nn.Module):
    """A timm model that outputs one of its intermediate maps."""

    def __init__(self, model: nn.Module, block: int, norm: bool) -> None:
        super().__init__()
        self.model: Any = model  # timm's models have no common type
        self.block = block
        self.norm = norm

    def forward(self, images: Tensor) -> Tensor:
        """Compute tokens [B, H, W, D] of normalized images [B, 3, S, S]."""
        (map_BDHW,) = self.model.forward_intermediates(
            images, indices=[self.block], norm=self.norm, stop_early=True, intermediates_only=True
        )
        return map_BDHW.permute(0, 2, 3, 1).contiguous()  # type: ignore[no-any-return]  # untyped


def build(settings: TeacherSettings, crop: int, state: StateDict | None) -> nn.Module:
    """Build a timm model as a module from images to tokens (see `family.Family`)."""
    import timm

    pretrained = pretrained_config(settings.model)
    model = timm.create_model(settings.model, pretrained=False, num_classes=0)
    _require_block(settings, model)
    if state is not None:
        head = pretrained.classifier or ()
        unused = (head,) if isinstance(head, str) else tuple(head)
        load_exactly(model, timm_state(model, state), tuple(f"{name}." for name in unused))
    is_transformer = hasattr(model, "set_input_size")
    if is_transformer:
        _set_size(settings, model, settings.input_size or crop)
    return _Tap(model, settings.block, norm=settings.final_norm and is_transformer)


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


def _set_size(settings: TeacherSettings, model: Any, size: int) -> None:  # noqa: ANN401 - see _Tap
    stride = model.feature_info[-1]["reduction"]
    if size % stride:
        raise TeacherError(
            f"{settings.model!r} needs a side that is a multiple of {stride} px, found {size}",
            remedy=f"set views.crop, or input_size of teacher {settings.name!r}, to "
            f"{size // stride * stride or stride} or {(size // stride + 1) * stride}",
        )
    trained = getattr(model, "pos_embed", None)
    model.set_input_size(img_size=(size, size))
    # The register models were trained with timm's way of resizing.
    if trained is not None and "patch14_dinov2" in settings.model:
        old, side = round((trained.shape[1] - 1) ** 0.5), size // stride
        resized = resize_position(trained.detach(), 1, (old, old), (side, side))
        model.pos_embed = nn.Parameter(resized)
