"""The stages of an encoder in their order: the stem, then each block of a ViT or each stage of a CNN.

Layer-wise decay and frozen stages count by them. timm's models declare them (`group_matcher`).
"""

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.student.settings import StudentSettings


def stages(net: Any) -> list[dict[str, nn.Parameter]]:  # noqa: ANN401 - timm ships no types
    """Return the parameters of each stage by name, from the stem to the last one.

    A ViT's final norm belongs to its last block.

    Args:
        net: a timm model.

    Raises:
        ConfigError: If timm does not declare the stages of the model.
    """
    from timm.models import group_parameters

    if not hasattr(net, "group_matcher"):
        raise ConfigError(
            f"timm does not declare the stages of a {type(net).__name__}",
            where="student.encoder",
            remedy="leave student.frozen_stages and optimiser.layer_decay out, or choose another student.encoder",
        )
    names: dict[int, list[str]] = group_parameters(net, net.group_matcher(coarse=True))
    parameters = dict(net.named_parameters())
    return [{name: parameters[name] for name in names[stage]} for stage in sorted(names)]


def freeze_stages(net: Any, settings: StudentSettings) -> None:  # noqa: ANN401 - timm ships no types
    """Exclude the parameters of the frozen stages of the settings from training.

    Raises:
        ConfigError: If the model has fewer stages.
    """
    if settings.frozen_stages is None:
        return
    if settings.frozen_stages == "all":
        net.requires_grad_(requires_grad=False)
        return
    by_stage = stages(net)
    last = len(by_stage) - 1
    if settings.frozen_stages > last:
        raise ConfigError(
            f"expected at most {last}, found {settings.frozen_stages}: '{settings.encoder}' has a stem and {last} "
            "stages up to its last tap",
            where="student.frozen_stages",
            remedy=f"--set student.frozen_stages={last}, or all",
        )
    for parameters in by_stage[: settings.frozen_stages + 1]:
        for parameter in parameters.values():
            parameter.requires_grad = False


def held_modules(net: nn.Module, *, batch_norms: bool) -> Iterator[nn.Module]:
    """Return the modules that stay in eval mode in training: frozen ones and, with `batch_norms`, each batch norm."""
    for module in net.modules():
        parameters = list(module.parameters())
        frozen = bool(parameters) and not any(each.requires_grad for each in parameters)
        if frozen or (batch_norms and isinstance(module, _BatchNorm)):
            yield module
