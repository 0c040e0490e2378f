"""Processes that can be killed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

Run = Callable[..., list[int]]


@contextmanager
def _server(*arguments: str) -> Iterator[Run]:
    command = [sys.executable, str(Path(__file__).with_name("server.py")), *arguments]
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:

        def run(*tasks: dict[str, object]) -> list[int]:
            process.stdin.write(json.dumps(tasks, default=str) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        assert process.stdout.readline() == "[]\n"
        try:
            yield run
        finally:
            process.stdin.write("\n")
            process.stdin.close()


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """Run tasks (see server.py) at the same time; their exit codes."""
    with _server() as serve:
        yield serve


@pytest.fixture(scope="session")
def run_pipeline() -> Iterator[Run]:
    """As `run`, for whole extractions."""
    with _server("pipeline") as serve:
        yield serve
