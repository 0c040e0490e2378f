"""The validations of a run, from its metrics: their order by score, and the time since the best."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Validation:
    """One validation.

    Attributes:
        steps: number of steps trained before it.
        epoch: the epoch, counted from 1.
        miou: mean IoU, in 0..1.
        only_class: the class that the model predicted everywhere; None if it predicted several.
    """

    steps: int
    epoch: int
    miou: float
    only_class: str | None = None

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> "Validation":
        """Return the validation in a line of metrics."""
        only = line.get("only_class")
        return cls(line["step"] + 1, line["epoch"] + 1, line["miou"], only)


def validations(lines: Iterable[Mapping[str, Any]]) -> list[Validation]:
    """Return the validations among lines of metrics, in order."""
    return [Validation.of(line) for line in lines if line.get("split") == "val"]


def ranked(history: Iterable[Validation]) -> list[Validation]:
    """Sort validations by score, best first; earlier ones first if equal."""
    return sorted(history, key=lambda validation: (-validation.miou, validation.steps))


def since_best(history: Sequence[Validation]) -> int:
    """Return the number of validations after the best one; `history` is in order."""
    return len(history) - 1 - history.index(ranked(history)[0]) if history else 0
