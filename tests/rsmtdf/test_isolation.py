"""A verb leaves generators, environment and accelerate's state as they were, and raises our errors."""

import errno
import os
import random

import numpy as np
import pytest
import torch
from accelerate.state import GradientState, PartialState

from rsmtdf.isolation import isolated, translated
from rsmtdf_core.errors import ConfigError, RsmtdfError


def disturb(error=None):
    random.random()
    np.random.default_rng()
    np.random.rand()  # noqa: NPY002 - the global generator is the point
    torch.rand(1)
    os.environ["RSMTDF_TEST"] = "changed"
    os.environ["RSMTDF_NEW"] = "made"
    os.environ.pop("RSMTDF_GONE", None)
    PartialState._shared_state["disturbed"] = True
    GradientState._shared_state["disturbed"] = True
    if error is not None:
        raise error
    return "result"


@pytest.fixture
def state(monkeypatch):
    """Reads everything that a verb may change."""
    monkeypatch.setenv("RSMTDF_TEST", "before")
    monkeypatch.setenv("RSMTDF_GONE", "before")

    def read():
        return (
            random.getstate(),
            repr(np.random.get_state()),  # noqa: NPY002
            torch.get_rng_state().tolist(),
            dict(os.environ),
            dict(PartialState._shared_state),
            dict(GradientState._shared_state),
        )

    return read


def test_the_process_is_as_it_was_after_a_result(state):
    before = state()
    assert isolated(disturb)() == "result"
    assert state() == before


def test_the_process_is_as_it_was_after_an_error(state):
    before = state()
    with pytest.raises(KeyError):
        isolated(disturb)(KeyError())
    assert state() == before


@pytest.mark.parametrize("wrapper", [isolated, translated])
def test_refusals_of_the_system_are_our_errors_and_others_stay(wrapper):
    full = OSError(errno.ENOSPC, "No space left on device", "a.png")
    with pytest.raises(RsmtdfError, match="No space left") as caught:
        wrapper(disturb)(full)
    assert caught.value.where == "a.png"
    assert caught.value.__cause__ is full
    for error in (OSError("a program's own"), ConfigError("wrong"), ValueError("wrong")):
        with pytest.raises(type(error)) as kept:
            wrapper(disturb)(error)
        assert kept.value is error


def test_a_verb_keeps_its_name_and_signature():
    assert isolated(disturb).__name__ == translated(disturb).__name__ == "disturb"
    assert isolated(disturb).__wrapped__ is disturb
