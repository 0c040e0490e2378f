"""Files of a run that carry a checksum of their content.

Earlier versions wrote the same files without a checksum; these are read without verification.
"""

import hashlib
import re
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rsmtdf_core.errors import RunError
from rsmtdf_core.files import atomic_file, read_file, read_json, write_json
from rsmtdf_core.fingerprints import fingerprint

_FINGERPRINT = "fingerprint"
_HEADER = re.compile(rb"# sha256: ([0-9a-f]{64})\n")
_CHECKSUM = re.compile(rb', "crc32": ([0-9]{1,10})\}')


def write_sealed_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with its fingerprint, atomically."""
    write_json(path, {**value, _FINGERPRINT: fingerprint(dict(value))})


def read_sealed_json(path: Path, unsealed: Collection[str]) -> dict[str, Any]:
    """Read a JSON object written by `write_sealed_json`.

    Args:
        path: the file.
        unsealed: the keys that a file without a fingerprint may have.

    Raises:
        RunError: If the file is missing, damaged or changed.
    """
    value = read_json(path, RunError)
    written = value.pop(_FINGERPRINT, None)
    try:
        changed = (
            not value.keys() <= set(unsealed) if written is None else written != fingerprint(value)
        )
    except (ValueError, RecursionError):  # a number that is not valid JSON, or too much nesting
        changed = True
    if changed:
        raise RunError("the file is damaged: it was changed after it was written", where=path)
    return value


def sealed_text(text: str) -> bytes:
    """Return a text with a first line, a YAML comment, that is the sha256 of the rest."""
    content = text.encode()
    return f"# sha256: {hashlib.sha256(content).hexdigest()}\n".encode() + content


def write_sealed_text(path: Path, text: str) -> None:
    """Write `sealed_text`, atomically."""
    with atomic_file(path) as file:
        file.write(sealed_text(text))


def is_whole_text(path: Path) -> bool:
    """Whether a file matches the checksum in its first line, or has none.

    Raises:
        RunError: If the file is missing or not a regular file.
    """
    content = read_file(path.resolve(), RunError)
    header = _HEADER.match(content)
    return (
        header is None or sealed_text(content[header.end() :].decode(errors="replace")) == content
    )


def promised_text(path: Path) -> bytes | None:
    """Return the checksum line of a sealed text, whether it matches or not; None if there is none."""
    try:
        header = _HEADER.match(read_file(path, RunError))
    except RunError:
        return None
    return None if header is None else header.group()


def sealed_line(json_object: str) -> str:
    """Return a JSON object with the crc32 of its other bytes as its last key."""
    body = json_object.removesuffix("}")
    return f'{body}, "crc32": {zlib.crc32(body.encode())}}}'


def unsealed_line(line: bytes) -> bytes | None:
    """Return the JSON object passed to `sealed_line`; None if its checksum is missing or wrong."""
    checksum = next(iter(_CHECKSUM.finditer(line, max(0, len(line) - 24))), None)
    if checksum is None or checksum.end() != len(line):
        return None
    body = line[: checksum.start()]
    return body + b"}" if zlib.crc32(body) == int(checksum.group(1)) else None
