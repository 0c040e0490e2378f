"""Weights from the hub, taken from the local cache if possible; an unreachable network fails fast."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cached_file(repository: str, name: str) -> Path | None:
    """Return the path of a hub file in the local cache, or None. Never uses the network."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, name)
    return Path(path) if isinstance(path, str) else None


def download(repository: str, name: str) -> Path:
    """Return the path of a hub file, and download the file unless the local cache has it.

    Raises:
        OSError: If the hub cannot be reached or has no such file. The message is a single line.
    """
    if path := cached_file(repository, name):
        return path
    from huggingface_hub import hf_hub_download

    # `hf_hub_download` retries five times with growing delays before it reports a missing network.
    _request(repository, name)
    with _in_a_line():
        return Path(hf_hub_download(repository, name))


def is_available(repository: str, name: str) -> bool:
    """Return whether the local cache or the hub has a file; asks the hub, but downloads nothing."""
    if cached_file(repository, name):
        return True
    try:
        _request(repository, name)
    except OSError:
        return False
    return True


def _request(repository: str, name: str) -> None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    with _in_a_line():
        get_hf_file_metadata(hf_hub_url(repository, name))


@contextmanager
def _in_a_line() -> Iterator[None]:
    """Raise any failure of the hub's library as an OSError of a single line."""
    try:
        yield
    except Exception as failure:
        lines = str(failure).strip().splitlines() or [type(failure).__name__]
        raise OSError(lines[0]) from failure
