"""Weights from the hub, taken from the local cache if possible; an unreachable network fails fast."""

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
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    try:
        # `hf_hub_download` retries five times with growing delays before it reports a missing network.
        get_hf_file_metadata(hf_hub_url(repository, name))
        return Path(hf_hub_download(repository, name))
    except Exception as failure:
        lines = str(failure).strip().splitlines() or [type(failure).__name__]
        raise OSError(lines[0]) from failure
