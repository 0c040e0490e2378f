"""Commands in messages, ready to be copied into a shell."""

import shlex
from pathlib import Path


def train_command(config: Path, run: Path | str, *words: str, processes: int = 1) -> str:
    """Return the command that trains a config in a run's folder.

    Args:
        config: the config file.
        run: the run's folder.
        words: additional options, such as `--resume`.
        processes: number of processes that train together.
    """
    command = " ".join([f"train {shlex.quote(str(config))} --run {shlex.quote(str(run))}", *words])
    if processes == 1:
        return f"rsmtdf {command}"
    # Without the dashes, torchrun parses --run as an abbreviation of its own options.
    return f"torchrun --nproc-per-node {processes} -- $(which rsmtdf) {command}"
