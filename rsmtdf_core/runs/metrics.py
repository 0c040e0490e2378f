"""metrics.jsonl: one JSON object a line, each with a checksum, so that a damaged line costs no other."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsmtdf_core.errors import RunError
from rsmtdf_core.files import atomic_file, read_file
from rsmtdf_core.refusals import naming, writing
from rsmtdf_core.runs.seals import sealed_line, unsealed_line
from rsmtdf_core.words import counted

_SHOWN = 3


@dataclass(frozen=True)
class Metrics:
    """The whole lines of metrics.jsonl.

    Attributes:
        path: the file.
        records: the lines that are whole, in their order.
        damaged: numbers of the lines that are not, counted from 1.
        missing: lines that were written and are not there.
        problem: why nothing can be read; empty where the file can be.
    """

    path: Path
    records: tuple[dict[str, Any], ...]
    damaged: tuple[int, ...] = ()
    missing: int = 0
    problem: str = ""

    @property
    def damage(self) -> str | None:
        """The damage in one sentence; None where every line is whole."""
        if self.problem:
            return f"{self.path.name} cannot be read: {self.problem}"
        parts = []
        if self.damaged:
            more = " and more" if len(self.damaged) > _SHOWN else ""
            numbers = ", ".join(map(str, self.damaged[:_SHOWN]))
            parts.append(f"{counted(len(self.damaged), 'line')} damaged (line {numbers}{more})")
        if self.missing:
            parts.append(f"{counted(self.missing, 'line')} missing")
        return f"{self.path.name} has {' and '.join(parts)}" if parts else None

    def require_whole(self) -> None:
        """Refuse metrics that lost a line.

        Raises:
            RunError: where any line is damaged or missing.
        """
        if self.damage:
            raise RunError(
                self.damage,
                where=self.path,
                remedy="restore the file, or leave out those lines: "
                f"rsmtdf train CONFIG --run {self.path.parent} --resume",
            )


def read_metrics(path: Path, expected: int = 0) -> Metrics:
    """Read the lines; a last one without its end, left by a killed process, is dropped.

    Args:
        path: of metrics.jsonl, which may be missing.
        expected: how many lines were written at least.
    """
    if not path.exists() and not path.is_symlink():
        return Metrics(path, (), missing=expected)
    try:
        content = read_file(path, RunError)
    except (RunError, OSError) as error:
        problem = error.what if isinstance(error, RunError) else error.strerror
        return Metrics(path, (), missing=expected, problem=problem or "unknown")
    lines = content.split(b"\n")
    torn = lines.pop()
    if unsealed_line(torn) is not None:
        lines.append(torn)
    sealed = [unsealed_line(line) for line in lines]
    # Lines of earlier versions have no checksum; a file has it in every line or in none.
    parsed = [_parsed(line) for line in (sealed if any(sealed) else lines)]
    records = [record for record in parsed if record is not None]
    damaged = [number for number, record in enumerate(parsed, 1) if record is None]
    if torn and unsealed_line(torn[:-1]) is not None:
        damaged.append(len(lines) + 1)  # a line whose end was changed, not a torn one
    missing = max(0, expected - len(records) - len(damaged))
    return Metrics(path, tuple(records), tuple(damaged), missing)


def _parsed(line: bytes | None) -> dict[str, Any] | None:
    """A record of a step or a validation; None for anything else."""
    try:
        record = json.loads(line or b"")
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and type(record.get("step")) is int else None


def append_metrics(path: Path, record: dict[str, Any]) -> None:
    """Write one more line.

    Raises:
        WriteError: the system refuses it.
    """
    line = sealed_line(json.dumps(record, allow_nan=True)) + "\n"
    with writing(path), naming(path), path.open("ab", buffering=0) as file:
        file.write(line.encode())


def write_metrics(path: Path, records: list[dict[str, Any]]) -> None:
    """Replace all lines, atomically."""
    with atomic_file(path) as file:
        file.write("".join(f"{sealed_line(json.dumps(one))}\n" for one in records).encode())
