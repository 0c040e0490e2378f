"""Verbs restore the state of the process, and raise errors of rsmtdf."""

import asyncio
import errno
import os
import random
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

import rsmtdf
from rsmtdf.isolation import isolated
from rsmtdf_core.errors import MissingFileError, RsmtdfError


def state() -> dict[str, object]:
    """The state that the whole process shares."""
    return {
        "python": random.getstate(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002 - the global generator
        "torch": torch.get_rng_state().tolist(),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "signals": {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)},
        "threads": torch.get_num_threads(),
        "interop": torch.get_num_interop_threads(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "grad": torch.is_grad_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "accelerate": dict(AcceleratorState._shared_state),
    }


def test_verbs_leave_the_process_as_it_was(values, tmp_path):
    config = values | {"name": "state"}
    before, threads = state(), set(threading.enumerate())
    rsmtdf.extract_features(config, overrides={"runtime.cache": tmp_path / "cache"})
    assert state() == before
    overrides = {"runtime.cache": tmp_path / "cache", "runtime.runs": tmp_path}
    run = rsmtdf.train(config, overrides=overrides, max_steps=1).run
    assert state() == before
    rsmtdf.evaluate(run)
    rsmtdf.predict(run, values["data"]["root"] / "images", tmp_path / "maps")
    rsmtdf.load_student(run)
    rsmtdf.open_features(config, overrides=overrides)[0]
    assert state() == before
    with pytest.raises(RsmtdfError):
        rsmtdf.train(config, overrides=overrides)  # the run is there already
    assert state() == before
    for thread in set(threading.enumerate()) - threads:
        if not thread.name.startswith("Dask-Offload"):  # dask's own, idle, one for the process
            thread.join(timeout=600)
            assert not thread.is_alive(), thread


def test_generators_are_restored_after_an_error_too():
    @isolated
    def verb():
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(7)
        os.environ["RSMTDF_OF_A_TEST"] = "1"
        raise MissingFileError("of a test")

    before = state()
    with pytest.raises(MissingFileError):
        verb()
    assert state() == before


def test_the_callers_accelerator_is_unchanged(extracted, tmp_path):
    AcceleratorState._reset_state(reset_partial_state=True)
    mine = Accelerator(cpu=True, mixed_precision="bf16")
    try:
        rsmtdf.train(extracted, tmp_path / "run", max_steps=1)
        assert Accelerator().mixed_precision == "bf16"
        assert mine.state.mixed_precision == "bf16"
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        os.environ.pop("ACCELERATE_MIXED_PRECISION", None)


def test_verbs_work_in_a_running_event_loop(values, tmp_path):
    async def cell():
        return rsmtdf.extract_features(values, cache=tmp_path)

    assert asyncio.run(cell()).rendered == 20


def test_errors_of_the_system_become_our_error():
    @isolated
    def verb(number):
        raise OSError(number, os.strerror(number), "a file")

    with pytest.raises(RsmtdfError, match="No space left on device") as caught:
        verb(errno.ENOSPC)
    assert caught.value.where == "a file"
    assert isinstance(caught.value.__cause__, OSError)


def test_changed_and_removed_variables_are_restored(monkeypatch):
    monkeypatch.setenv("RSMTDF_CHANGED", "before")
    monkeypatch.setenv("RSMTDF_REMOVED", "before")

    @isolated
    def verb():
        os.environ["RSMTDF_CHANGED"] = "after"
        del os.environ["RSMTDF_REMOVED"]

    before = dict(os.environ)
    verb()
    assert dict(os.environ) == before
