"""Locate or download a teacher's weights file. Only `have_weights` and `fetch_weights` may use the network."""

from pathlib import Path

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.teachers.family import family_module
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.weights.files import require_weights
from rsmtdf_core.weights.hub import cached_file, download


def locate_weights(settings: TeacherSettings) -> Path | None:
    """Return the path of the teacher's weights file, or None if it is missing or the weights are random."""
    if settings.weights == "random":
        return None
    if settings.weights != "hub":
        path = Path(settings.weights).expanduser()
        return path if path.is_file() else None
    return cached_file(*family_module(settings.family).hub_file(settings.model))


def have_weights(settings: TeacherSettings) -> Path:
    """Return the path of the teacher's weights file, and download it from the hub if necessary.

    Raises:
        TeacherError: If the file is unavailable, or does not contain weights.
    """
    assert settings.weights != "random", "random weights have no file"
    path = locate_weights(settings) or _download(settings)
    require_weights(path)
    return path


def fetch_weights(settings: TeacherSettings) -> tuple[Path, str]:
    """Return the path and sha256 of the teacher's weights file, and download it from the hub if necessary.

    Raises:
        TeacherError: If the file is unavailable, or its sha256 differs from `weights_sha256`.
    """
    path = have_weights(settings)
    digest = file_sha256(path)
    if settings.weights_sha256 not in (None, digest):
        raise TeacherError(
            f"the weights of teacher {settings.name!r} are another file: "
            f"expected sha256 {settings.weights_sha256}, found {digest}",
            where=path,
            remedy="give the file that weights_sha256 names, or correct weights_sha256",
        )
    return path, digest


def fetch_description(settings: TeacherSettings) -> None:
    """Download the config of a model that a repository of the hub describes; other models need none.

    Raises:
        TeacherError: If the hub cannot be reached or has no such file.
    """
    fetch = getattr(family_module(settings.family), "fetch_config", None)
    if fetch is None:
        return
    try:
        fetch(settings.model)
    except OSError as failure:
        raise TeacherError(
            f"the config of teacher {settings.name!r} is neither in the hub cache nor to be downloaded: {failure}",
            where=settings.model,
            remedy="run `hf download OWNER/NAME` on a machine with a network and share the cache (HF_HOME)",
        ) from failure


def _download(settings: TeacherSettings) -> Path:
    if settings.weights != "hub":
        exists = Path(settings.weights).expanduser().exists()
        raise TeacherError(
            f"the weights file of teacher {settings.name!r} "
            + ("is a folder or another thing that is no file" if exists else "does not exist"),
            where=settings.weights,
            remedy=f"correct weights of teacher {settings.name!r}: a path, hub or random",
        )
    repository, name = family_module(settings.family).hub_file(settings.model)
    try:
        return download(repository, name)
    except OSError as failure:
        raise TeacherError(
            f"the weights of teacher {settings.name!r} are neither in the hub cache nor to be "
            f"downloaded: {failure}",
            where=f"huggingface.co/{repository}/{name}",
            remedy=f"run `hf download {repository} {name}` on a machine with a network and share the "
            f"cache (HF_HOME), or set weights of teacher {settings.name!r} to the path of a file, "
            "or to random to try things out",
        ) from failure
