"""Conversion of path arguments."""

import os
from collections.abc import Sequence
from pathlib import Path

PathLike = str | os.PathLike[str]


def optional_path(path: PathLike | None) -> Path | None:
    """Convert to a path; None stays None."""
    return None if path is None else Path(path)


def paths(values: PathLike | Sequence[PathLike]) -> list[Path]:
    """Convert a path or several paths to a list."""
    several = [values] if isinstance(values, str | os.PathLike) else values
    return [Path(value) for value in several]
