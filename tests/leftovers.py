"""Temporary files as killed processes leave them."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from rsmtdf_core.files import temporary_path


def ended_process() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        pass
    return process.pid


def left_by(process: int, path: Path) -> Path:
    """Write a temporary file for `path` as the process with that id would."""
    with mock.patch.object(os, "getpid", return_value=process):
        temporary = temporary_path(path)
    temporary.write_bytes(b"incomplete")
    return temporary
