"""Errors for trainings and models that are not finite, with the settings that may prevent it."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from pipeline.commands import train_command
from pipeline.train.phases import Phase
from rsmtdf_core.errors import RunError
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.training.finite import GRADIENTS, Divergence
from rsmtdf_core.weights.finite import not_finite

_SHOWN = 3
# A learning rate that diverges is usually much too high.
_LOWER = 10


def diverged(divergence: Divergence, phase: Phase, folder: RunFolder, processes: int) -> RunError:
    """Return the error for losses or gradients that are not finite.

    Args:
        divergence: the non-finite terms and their step.
        phase: the phase of the step.
        folder: the folder of the run.
        processes: number of processes that train together.
    """
    if divergence.terms == (GRADIENTS,):
        problem = f"the gradients are not finite at step {divergence.step}, though the losses are"
    else:
        problem = f"the loss is not finite at step {divergence.step}: {_listed(divergence.terms)}"
    return _error(problem, phase, folder, processes)


def require_finite_state(
    state: Mapping[str, Tensor],
    steps: int,
    phase: Phase,
    folder: RunFolder,
    processes: int,
) -> None:
    """Check that the tensors of a checkpoint are finite.

    Raises:
        RunError: If a tensor is not finite after `steps` steps.
    """
    if names := not_finite(state):
        problem = f"{len(names)} tensors are not finite after step {steps - 1}: {_listed(names)}"
        raise _error(problem, phase, folder, processes)


def _error(problem: str, phase: Phase, folder: RunFolder, processes: int) -> RunError:
    lower = f"--set {phase.lr_key}={phase.config.optimiser.lr / _LOWER:g}"
    command = train_command(folder.config, f"{folder.path}-lower-lr", lower, processes=processes)
    precision = phase.config.runtime.precision
    other = {
        "fp32": "",
        "bf16": "; or --set runtime.precision=fp32",
        "fp16": "; or --set runtime.precision=bf16 (or fp32)",
    }[precision]
    return RunError(
        f"{problem} (earlier checkpoints are intact)",
        where=folder.path,
        remedy=f"train with a lower learning rate: {command}{other}",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
