"""Commands that messages print, so that they work as they are."""

import shlex
from pathlib import Path


def train_command(config: Path, run: Path | str, *words: str, processes: int = 1) -> str:
    """The command that trains a config in a run's folder.

    Args:
        config: the config's file.
        run: the run's folder.
        words: options that follow, such as `--resume`.
        processes: how many train together.
    """
    command = " ".join([f"train {shlex.quote(str(config))} --run {shlex.quote(str(run))}", *words])
    if processes == 1:
        return f"rsmtdf {command}"
    # Without the dashes torchrun takes --run for an abbreviation of its own options.
    return f"torchrun --nproc-per-node {processes} -- $(which rsmtdf) {command}"
