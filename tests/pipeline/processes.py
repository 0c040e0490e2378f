"""Trainings in several processes of one group.

They are forked from a server that has imported everything, because torchrun takes longer to start than a test to train.
"""

import multiprocessing
import os
import tempfile
from pathlib import Path

import torch
from torch import distributed

from pipeline.config import load_config
from pipeline.train.run import train
from pipeline.train.session import Session

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def train_together(
    config_file: Path,
    overrides: tuple[str, ...],
    run: Path,
    *,
    processes: int = 2,
    resume: bool = False,
    dies_after: int | None = None,
) -> None:
    """Train in `processes` processes, as torchrun does; all die after `dies_after` steps of the run."""
    with tempfile.TemporaryDirectory() as folder:
        words = (processes, Path(folder) / "group", config_file, overrides, run, resume, dies_after)
        started = [
            _CONTEXT.Process(target=_train, args=(rank, *words)) for rank in range(processes)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join()
    assert [process.exitcode for process in started] == [0] * processes


def _train(
    rank: int,
    processes: int,
    group: Path,
    config_file: Path,
    overrides: tuple[str, ...],
    run: Path,
    resume: bool,
    dies_after: int | None,
) -> None:
    os.environ |= {name: str(rank) for name in ("RANK", "LOCAL_RANK")}
    os.environ |= {name: str(processes) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")}
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=group.as_uri(), rank=rank, world_size=processes
    )
    after = Session._after

    def die(session, record):
        after(session, record)
        if record.step + 1 == dies_after:
            os._exit(0)

    Session._after = die
    train(load_config(str(config_file), overrides), run, resume=resume)
