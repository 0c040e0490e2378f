"""Trainings and models whose numbers are NaN or infinite: the error, with the settings that may prevent it."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from pipeline.commands import train_command
from pipeline.config import ExperimentConfig
from rsmtdf_core.errors import RunError
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.training.finite import GRADIENTS, Divergence
from rsmtdf_core.weights.finite import not_finite

_SHOWN = 3
# A rate that diverges is mostly too high by far.
_LOWER = 10


def diverged(
    found: Divergence, config: ExperimentConfig, folder: RunFolder, processes: int
) -> RunError:
    """The error for losses or gradients that are not finite.

    Args:
        found: the terms and their step.
        config: of the training.
        folder: of the run.
        processes: how many train together.
    """
    if found.terms == (GRADIENTS,):
        what = f"the gradients are not finite at step {found.step}, though the losses are"
    else:
        what = f"the loss is not finite at step {found.step}: {_listed(found.terms)}"
    return _error(what, config, folder, processes)


def require_finite_state(
    state: Mapping[str, Tensor],
    steps: int,
    config: ExperimentConfig,
    folder: RunFolder,
    processes: int,
) -> None:
    """Refuse tensors that no checkpoint may hold.

    Raises:
        RunError: where one is not finite after so many steps.
    """
    if names := not_finite(state):
        what = f"{len(names)} tensors are not finite after step {steps - 1}: {_listed(names)}"
        raise _error(what, config, folder, processes)


def _error(what: str, config: ExperimentConfig, folder: RunFolder, processes: int) -> RunError:
    lower = f"--set optimiser.lr={config.optimiser.lr / _LOWER:g}"
    command = train_command(folder.config, f"{folder.path}-lower-lr", lower, processes=processes)
    precision = config.runtime.precision
    other = {
        "fp32": "",
        "bf16": "; else --set runtime.precision=fp32",
        "fp16": "; else --set runtime.precision=bf16, or fp32",
    }[precision]
    return RunError(
        f"{what} (checkpoints keep the steps before)",
        where=folder.path,
        remedy=f"train with a lower rate: {command}{other}",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
