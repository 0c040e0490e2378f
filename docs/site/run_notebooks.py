"""Run notebooks, each in an empty folder, and keep their outputs (tests: tests/docs/test_notebooks.py).

python docs/site/run_notebooks.py NOTEBOOK...
"""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient

_LONGEST = 3600  # seconds of a cell, which takes seconds on an idle machine


def run_notebook(path: Path) -> Any:  # noqa: ANN401 - nbformat's nodes have no types
    """Return the notebook with the outputs of all its cells; messages on stderr are left out.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell raises an error.
    """
    notebook = nbformat.read(path, as_version=4)
    environment = os.environ | {
        # Notebooks call `rsmtdf`, which is installed next to Python.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # Commands of a notebook have a terminal, whose progress bars would stay in the outputs.
        "TTY_COMPATIBLE": "0",
    }
    with TemporaryDirectory() as folder, _same_handlers():
        resources = {"metadata": {"path": folder}}
        NotebookClient(
            notebook,
            timeout=_LONGEST,
            startup_timeout=_LONGEST,
            kernel_name="python3",
            resources=resources,
        ).execute(env=environment)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times of the day
            if cell.cell_type == "code":
                shown = (out for out in cell.outputs if out.get("name") != "stderr")
                cell.outputs = [_portable(output, folder) for output in shown]
    return notebook


@contextmanager
def _same_handlers() -> Iterator[None]:
    """Leave the process its signal handlers, which nbclient sets to the default."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _portable(output: Any, folder: str) -> Any:  # noqa: ANN401
    """Remove the temporary folder, the colors of a terminal and second copies of pictures from an output."""
    if "image/png" in output.get("data", {}):
        output.data.pop("image/jpeg", None)
    for holder, key in ((output, "text"), (output.get("data", {}), "text/plain")):
        if key in holder:
            holder[key] = re.sub(r"\x1b\[[\d;]*m", "", holder[key]).replace(f"{folder}/", "")
    return output


def main() -> None:
    """Run the notebooks that are named on the command line, and replace their files."""
    for name in sys.argv[1:]:
        path = Path(name)
        notebook = run_notebook(path)
        nbformat.write(notebook, path)
        print(f"ran {path}")


if __name__ == "__main__":
    main()
