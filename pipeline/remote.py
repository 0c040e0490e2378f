"""Open an address of a file system that fsspec knows (tests: cache/transfer/test_remote.py)."""

from typing import Any

from rsmtdf_core.errors import ConfigError


def open_address(address: str) -> tuple[Any, str]:
    """Return the file system of an address, such as a folder, s3:// or https://, and the root in it.

    Raises:
        ConfigError: If fsspec does not know the address, or its package is not installed.
    """
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(address.rstrip("/"))
    except ImportError as absent:
        raise ConfigError(
            f"the address needs a package that is not installed: {absent}",
            where=address,
            remedy="pip install 'rsmtdf[remote]' for s3:// and https://",
        ) from None
    except ValueError as unknown:
        raise ConfigError(f"the address cannot be used: {unknown}", where=address) from None
    # fsspec caches listings, which would hide later files of another process.
    files.invalidate_cache()
    return files, root.rstrip("/")
