"""What to do when the device has too little memory for a training step or a validation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pipeline.commands import train_command
from pipeline.config import ExperimentConfig
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.settings import InferenceSettings

# How torch on a CPU, and libraries of CUDA that allocate by themselves, say it.
_SAID = ("DefaultCPUAllocator", "ALLOC_FAILED")


@contextmanager
def told(error_of: Callable[[str], RunError]) -> Iterator[None]:
    """Raise `error_of` the first line that torch said, where a block runs out of the device's memory."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(
            one in str(error) for one in _SAID
        ):
            raise
        raise error_of(str(error).splitlines()[0]) from error


def too_little_for_a_step(
    config: ExperimentConfig,
    resolved: Path,
    *,
    unlabeled: bool,
    saved: bool,
    detail: str,
    processes: int = 1,
) -> RunError:
    """The error that says how much was computed at a time, and the command that goes on with less.

    Args:
        config: of the training.
        resolved: the same as a file in the run's folder.
        unlabeled: whether unlabeled crops were computed too.
        saved: whether there is a checkpoint to go on from.
        detail: the first line of what torch said.
        processes: how many train together.
    """
    command = train_command(resolved, resolved.parent, processes=processes)
    at_a_time = config.optimiser.batch // config.runtime.accumulate
    crops = f"{at_a_time} + {at_a_time}" if unlabeled else f"{at_a_time}"
    how = "--resume" if saved else "--overwrite"
    choices = [f"{how} --set {one}" for one in _same_results(config)]
    if config.runtime.precision == "fp32" and config.runtime.device != "cpu":
        # Another precision rounds otherwise, so it is another run.
        choices.append("--overwrite --set runtime.precision=bf16")
    if not choices:
        choices.append("--overwrite with a smaller views.crop or optimiser.batch")
    return RunError(
        f"the device's memory is too small for {crops} crops of {config.views.crop} px at a time ({detail})",
        where=resolved.parent,
        remedy=f"{command} {'; else '.join(choices)}",
    )


def too_little_for_a_validation(
    inference: InferenceSettings, resolved: Path, detail: str, processes: int = 1
) -> RunError:
    """The same for scenes that are scored; what was trained until then is saved.

    Args:
        inference: how scenes are predicted.
        resolved: the config in the run's folder.
        detail: the first line of what torch said.
        processes: how many train together.
    """
    command = train_command(resolved, resolved.parent, processes=processes)
    if inference.mode == "whole":
        what, remedy = "a whole scene", "start anew with --set evaluation.inference.mode=slide"
    elif inference.batch > 1:
        what = f"{inference.batch} windows of {inference.window} px"
        fewer = f"evaluation.inference.batch={inference.batch // 2}"
        remedy = f"{command} --resume --set {fewer}"
    else:
        what = f"a window of {inference.window} px"
        remedy = "start anew with a smaller evaluation.inference.window"
    return RunError(
        f"the device's memory is too small to predict {what} at a time ({detail})",
        where=resolved.parent,
        remedy=remedy,
    )


def _same_results(config: ExperimentConfig) -> list[str]:
    """Settings that need less memory and may be changed in the middle of a run."""
    parts = 2 * config.runtime.accumulate
    found = []
    if config.optimiser.batch % (2 * parts) == 0:
        found.append(f"runtime.accumulate={parts}")
    if not config.runtime.activation_checkpointing:
        found.append("runtime.activation_checkpointing=true")
    return found
