"""Restores the state of the caller's process: a verb in a notebook must not change the results of the next cell."""

import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def isolated(verb: Callable[P, R]) -> Callable[P, R]:
    """Wrap a verb to restore random generators, environment and shared states of the process afterwards."""

    @wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with _generators(), _environment(), _accelerate():
            return translated(verb)(*args, **kwargs)

    return call


def translated(verb: Callable[P, R]) -> Callable[P, R]:
    """Wrap a verb to raise errors of the operating system, such as a full disk, as `RsmtdfError`s."""

    @wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        from rsmtdf_core.errors import RsmtdfError
        from rsmtdf_core.refusals import refusal

        try:
            return verb(*args, **kwargs)
        except OSError as error:
            # An error without a number was not raised by the operating system.
            if isinstance(error, RsmtdfError) or error.errno is None:
                raise
            raise refusal(error) from error

    return call


@contextmanager
def _generators() -> Iterator[None]:
    """Restore the state of Python's, numpy's and torch's global generators."""
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - numpy's global generator is the legacy generator
    # Reading a GPU's state initializes CUDA, which would allocate memory on the GPU.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def _environment() -> Iterator[None]:
    """Restore environment variables, because accelerate changes them."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _accelerate() -> Iterator[None]:
    """Restore accelerate's process-wide state, which training replaces.

    Under torchrun, several processes share a group, so the state is not restored.
    """
    before = {name: dict(state) for name, state in _shared_states().items()}
    try:
        yield
    finally:
        import torch

        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            for name, state in _shared_states().items():
                state.clear()
                state.update(before.get(name, {}))


def _shared_states() -> dict[str, dict[str, object]]:
    """Return the shared dictionaries of accelerate's state classes by class; empty before accelerate is imported."""
    if "accelerate.state" not in sys.modules:
        return {}
    from accelerate.state import AcceleratorState, GradientState, PartialState

    classes = (AcceleratorState, GradientState, PartialState)
    return {state_class.__name__: state_class._shared_state for state_class in classes}
