"""Fingerprints: sha256 over declared JSON or over a file's bytes, and what differs between two of them."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MISSING = "(absent)"


def canonical_json(value: object) -> bytes:
    """JSON of `value` that is the same on every machine: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def fingerprint(value: object) -> str:
    """The sha256 (64 hex digits) of `value`'s canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(expected: Any, found: Any, key: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON
    """One line for each field in which two JSON values differ, with both values."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in sorted(expected.keys() | found.keys()):
            inner = f"{key}.{name}" if key else str(name)
            yield from differences(expected.get(name, _MISSING), found.get(name, _MISSING), inner)
    elif expected != found:
        yield f"{key or 'value'}: expected {_short(expected)}, found {_short(found)}"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 80 else f"{text[:77]}..."
