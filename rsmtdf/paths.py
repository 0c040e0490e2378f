"""Paths as callers give them."""

import os
from pathlib import Path

PathLike = str | os.PathLike[str]


def optional_path(path: PathLike | None) -> Path | None:
    """The path, or None as it is."""
    return None if path is None else Path(path)
