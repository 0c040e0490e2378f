"""Paths as callers give them."""

import os
from collections.abc import Sequence
from pathlib import Path

PathLike = str | os.PathLike[str]


def optional_path(path: PathLike | None) -> Path | None:
    """The path, or None as it is."""
    return None if path is None else Path(path)


def paths(given: PathLike | Sequence[PathLike]) -> list[Path]:
    """One path or several, as a list."""
    several = [given] if isinstance(given, str | os.PathLike) else given
    return [Path(path) for path in several]
