"""What the validations of a run came to, as its metrics tell: the best of them, and how long ago that was."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Validation:
    """One validation.

    Attributes:
        steps: steps trained until then.
        epoch: counted from 1.
        miou: its score, in 0..1.
        only_class: the class that the model predicted everywhere; None where it predicted several.
    """

    steps: int
    epoch: int
    miou: float
    only_class: str | None = None

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> "Validation":
        """The validation that a line of metrics tells of."""
        only = line.get("only_class")
        return cls(line["step"] + 1, line["epoch"] + 1, line["miou"], only)


def validations(lines: Iterable[Mapping[str, Any]]) -> list[Validation]:
    """The validations among lines of metrics, in their order."""
    return [Validation.of(line) for line in lines if line.get("split") == "val"]


def ranked(found: Iterable[Validation]) -> list[Validation]:
    """The best first; of equal ones the earlier."""
    return sorted(found, key=lambda one: (-one.miou, one.steps))


def since_best(found: Sequence[Validation]) -> int:
    """How many validations came after the best one; they are given in their order."""
    return len(found) - 1 - found.index(ranked(found)[0]) if found else 0
