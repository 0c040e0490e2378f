"""Weights from the hub: the local cache first, then the network, which is asked once and not for half a minute."""

from pathlib import Path


def cached_file(repository: str, name: str) -> Path | None:
    """A hub file in the local cache; None if it is not there. Never uses the network."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, name)
    return Path(path) if isinstance(path, str) else None


def download(repository: str, name: str) -> Path:
    """A hub file, from the local cache or else downloaded to it.

    Raises:
        OSError: the hub cannot be reached or has no such file; in one line.
    """
    if path := cached_file(repository, name):
        return path
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    try:
        # A download alone tries five more times, ever more slowly, before it reports that there is no network.
        get_hf_file_metadata(hf_hub_url(repository, name))
        return Path(hf_hub_download(repository, name))
    except Exception as failure:
        lines = str(failure).strip().splitlines() or [type(failure).__name__]
        raise OSError(lines[0]) from failure
