"""metrics.jsonl: one JSON object per line, each with a checksum, so that damage affects only its own line."""

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
    """The intact lines of metrics.jsonl.

    Attributes:
        path: the file.
        records: the intact lines, in order.
        damaged: numbers of the damaged lines, counted from 1.
        missing: number of lines that were written but are missing.
        problem: the reason why the file cannot be read; empty if it can.
    """

    path: Path
    records: tuple[dict[str, Any], ...]
    damaged: tuple[int, ...] = ()
    missing: int = 0
    problem: str = ""

    @property
    def damage(self) -> str | None:
        """The damage in one sentence; None if every line is intact."""
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
        """Check that all lines are intact.

        Raises:
            RunError: If any line is damaged or missing.
        """
        if self.damage:
            raise RunError(
                self.damage,
                where=self.path,
                remedy="restore the file, or drop those lines: "
                f"rsmtdf train CONFIG --run {self.path.parent} --resume",
            )


def read_metrics(path: Path, expected: int = 0) -> Metrics:
    """Read the lines, without a partial last line of a killed process.

    Args:
        path: path of metrics.jsonl, which may be missing.
        expected: minimum number of lines that were written.
    """
    if not path.exists() and not path.is_symlink():
        return Metrics(path, (), missing=expected)
    try:
        content = read_file(path, RunError)
    except (RunError, OSError) as error:
        problem = error.what if isinstance(error, RunError) else error.strerror
        return Metrics(path, (), missing=expected, problem=problem or "unknown")
    lines = content.split(b"\n")
    partial = lines.pop()
    if unsealed_line(partial) is not None:
        lines.append(partial)
    sealed = [unsealed_line(line) for line in lines]
    # Lines of earlier versions have no checksum; either all lines of a file have one or none.
    parsed = [_parsed(line) for line in (sealed if any(sealed) else lines)]
    records = [record for record in parsed if record is not None]
    damaged = [number for number, record in enumerate(parsed, 1) if record is None]
    if partial and unsealed_line(partial[:-1]) is not None:
        damaged.append(len(lines) + 1)  # the end of the line was changed, it is not partial
    missing = max(0, expected - len(records) - len(damaged))
    return Metrics(path, tuple(records), tuple(damaged), missing)


def _parsed(line: bytes | None) -> dict[str, Any] | None:
    """Parse the record of a step or a validation; None for anything else."""
    try:
        record = json.loads(line or b"")
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and type(record.get("step")) is int else None


def append_metrics(path: Path, record: dict[str, Any]) -> None:
    """Append a line.

    Raises:
        WriteError: If the line cannot be written.
    """
    line = sealed_line(json.dumps(record, allow_nan=True)) + "\n"
    with writing(path), naming(path), path.open("ab", buffering=0) as file:
        file.write(line.encode())


def write_metrics(path: Path, records: list[dict[str, Any]]) -> None:
    """Replace all lines, atomically."""
    with atomic_file(path) as file:
        file.write("".join(f"{sealed_line(json.dumps(record))}\n" for record in records).encode())
