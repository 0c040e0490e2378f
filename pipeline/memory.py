"""Errors for a device with too little memory for a training step or a validation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pipeline.commands import train_command
from pipeline.config import ExperimentConfig
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.settings import InferenceSettings

# Parts of the messages of torch on a CPU, and of CUDA libraries that allocate memory themselves.
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "ALLOC_FAILED")


@contextmanager
def memory_errors(error_of: Callable[[str], RunError]) -> Iterator[None]:
    """If the block runs out of device memory, raise `error_of` the first line of torch's message."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(
            phrase in str(error) for phrase in _OUT_OF_MEMORY
        ):
            raise
        raise error_of(str(error).splitlines()[0]) from error


def too_little_for_a_step(
    config: ExperimentConfig,
    resolved: Path,
    *,
    phase: ExperimentConfig,
    saved: bool,
    detail: str,
    processes: int = 1,
) -> RunError:
    """Return the error for a training step, with its number of crops and commands that need less memory.

    Args:
        config: config of the run.
        resolved: the config file in the run's folder.
        phase: config of the run's phase that has the step.
        saved: whether there is a checkpoint to resume from.
        detail: the first line of torch's message.
        processes: number of processes that train together.
    """
    command = train_command(resolved, resolved.parent, processes=processes)
    at_a_time = phase.optimiser.batch // config.runtime.accumulate
    has_both = phase.method.trains_head and phase.method.strong_views > 0
    crops = f"{at_a_time} + {at_a_time}" if has_both else f"{at_a_time}"
    option = "--resume" if saved else "--overwrite"
    choices = [f"{option} --set {override}" for override in _same_results(config)]
    if config.runtime.precision == "fp32" and config.runtime.device != "cpu":
        # Another precision rounds differently, so it needs a new run.
        choices.append("--overwrite --set runtime.precision=bf16")
    if not choices:
        choices.append("--overwrite with a smaller views.crop or optimiser.batch")
    return RunError(
        f"the device's memory is too small for {crops} crops of {config.views.crop} px at a time ({detail})",
        where=resolved.parent,
        remedy=f"{command} {'; or '.join(choices)}",
    )


def too_little_for_a_validation(
    inference: InferenceSettings, resolved: Path, detail: str, processes: int = 1
) -> RunError:
    """Return the error for a validation; the training until then is saved.

    Args:
        inference: settings of the predictions.
        resolved: the config file in the run's folder.
        detail: the first line of torch's message.
        processes: number of processes that train together.
    """
    command = train_command(resolved, resolved.parent, processes=processes)
    if inference.mode == "whole":
        size, remedy = "a whole scene", "start again with --set evaluation.inference.mode=slide"
    elif inference.batch > 1:
        size = f"{inference.batch} windows of {inference.window} px"
        fewer = f"evaluation.inference.batch={inference.batch // 2}"
        remedy = f"{command} --resume --set {fewer}"
    else:
        size = f"a window of {inference.window} px"
        remedy = "start again with a smaller evaluation.inference.window"
    return RunError(
        f"the device's memory is too small to predict {size} at a time ({detail})",
        where=resolved.parent,
        remedy=remedy,
    )


def _same_results(config: ExperimentConfig) -> list[str]:
    """Return overrides that need less memory and may change during a run."""
    parts = 2 * config.runtime.accumulate
    overrides = []
    if all(phase.optimiser.batch % (2 * parts) == 0 for phase in config.phases):
        overrides.append(f"runtime.accumulate={parts}")
    if not config.runtime.activation_checkpointing:
        overrides.append("runtime.activation_checkpointing=true")
    return overrides
