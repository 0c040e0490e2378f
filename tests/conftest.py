"""Fixtures that every test may use."""

import importlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

# pytest-xdist gives its workers 80 columns, and consoles take their width as they are made.
os.environ.pop("COLUMNS", None)

# The time of an example depends on the machine and its load.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Only a power cut loses unsynced data, and a disk may take as long as the tests; calls can still be recorded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def _process() -> Iterator[None]:
    """Fails a test that leaves signal handlers or the working folder changed, as later tests may depend on them."""
    before = _state()
    yield
    assert _state() == before, "the test changed the state of the process"


def _state() -> tuple[object, ...]:
    handlers = (signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM))
    return (*handlers, Path.cwd())


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference material next to the checkout; tests that need it are skipped if it is missing."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "README.md").is_file():
        pytest.skip("the reference material (../shared) is not next to this checkout")
    return folder


@pytest.fixture(scope="session")
def rule(shared: Path) -> ModuleType:
    """The rule by which the weights and images behind the golden numbers are computed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(shared / "golden")
        return importlib.import_module("rule")
