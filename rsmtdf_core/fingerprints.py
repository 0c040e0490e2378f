"""Fingerprints: sha256 of JSON values or files, and the differences between two JSON values."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MISSING = "(absent)"


def canonical_json(value: object) -> bytes:
    """Return the JSON of `value` in a form that is the same on every machine: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def fingerprint(value: object) -> str:
    """Return the sha256 (64 hex digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the sha256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(expected: Any, actual: Any, key: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Yield one line for each field in which two JSON values differ, with both values."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name in sorted(expected.keys() | actual.keys()):
            inner = f"{key}.{name}" if key else str(name)
            yield from differences(expected.get(name, _MISSING), actual.get(name, _MISSING), inner)
    elif expected != actual:
        yield f"{key or 'value'}: expected {_short(expected)}, found {_short(actual)}"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 80 else f"{text[:77]}..."
