"""Verbs that share models: push and pull (tests: pipeline/share/test_run.py)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsmtdf.isolation import isolated, translated
from rsmtdf.progress import reporter

if TYPE_CHECKING:
    from pipeline.share import Pulled, Pushed
    from rsmtdf.paths import PathLike


@isolated
def push(
    source: PathLike,
    to: str,
    *,
    license: str | None = None,  # noqa: A002 - the name on the command line
    progress: bool = False,
) -> Pushed:
    """Share a run's best model, or an export, as one folder with a model card.

    Args:
        source: the folder of a run or of an export.
        to: a folder, an address such as s3://bucket/folder, or hf://OWNER/NAME.
        license: the license that you give the model, for its card.
        progress: whether a bar is shown.

    Raises:
        RsmtdfError: If the source or the address cannot be used.
    """
    from pipeline.share import push as share

    return share(Path(source), to, reporter(progress=progress), terms=license)


@translated
def pull(address: str, out: PathLike = "model", *, progress: bool = False) -> Pulled:
    """Fetch a folder that `push` shared, and verify it.

    Args:
        address: the folder's address.
        out: the new folder.
        progress: whether a bar is shown.

    Raises:
        RsmtdfError: If the address cannot be used, or a file is missing or damaged.
    """
    from pipeline.share import pull as fetch

    return fetch(address, Path(out), reporter(progress=progress))
