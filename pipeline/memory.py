"""What to do when the device has too little memory for a training step."""

from pathlib import Path

from pipeline.config import ExperimentConfig
from rsmtdf_core.errors import RunError


def out_of_memory(
    config: ExperimentConfig, run: Path, *, unlabeled: bool, saved: bool, detail: str
) -> RunError:
    """The error that says how much was computed at a time, and the command that goes on with less.

    Args:
        config: of the training.
        run: its folder.
        unlabeled: whether unlabeled crops were computed too.
        saved: whether there is a checkpoint to go on from.
        detail: the first line of what torch said.
    """
    at_a_time = config.optimiser.batch // config.runtime.accumulate
    crops = f"{at_a_time} + {at_a_time}" if unlabeled else f"{at_a_time}"
    how = "--resume" if saved else "--overwrite"
    choices = [f"{how} --set {one}" for one in _same_results(config)]
    if config.runtime.precision == "fp32":
        # Another precision rounds otherwise, so it is another run.
        choices.append("--overwrite --set runtime.precision=bf16")
    if not choices:
        choices.append("--overwrite with a smaller views.crop or optimiser.batch")
    command = f"rsmtdf train {run / 'config.yaml'} --run {run}"
    return RunError(
        f"the device's memory is too small for {crops} crops of {config.views.crop} px at a time ({detail})",
        where=run,
        remedy=f"{command} {choices[0]}" + "".join(f"; else {one}" for one in choices[1:]),
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
