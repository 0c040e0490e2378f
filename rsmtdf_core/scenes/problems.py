"""Problems with the files of a dataset (tests: test_check.py)."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator

from rsmtdf_core.settings import Settings
from rsmtdf_core.words import readable


class Problem(Settings):
    """A problem with a file.

    Attributes:
        file: posix path relative to the data root; bytes that are not text are shown as Latin-1.
        what: a sentence on the problem.
        kind: a label that problems of one kind share; empty if they share the whole sentence.
    """

    file: Annotated[str, BeforeValidator(readable)]
    what: str
    kind: str = ""


def grouped(problems: Sequence[Problem], most: int) -> list[tuple[Problem, int]]:
    """Return at most `most` problems of each kind, in their order, each with a number of omitted problems.

    That number is 0 except for the last problem of a kind.
    """
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind or problem.what, []).append(problem)
    return [
        (problem, len(same) - most if number == most else 0)
        for same in kinds.values()
        for number, problem in enumerate(same[:most], 1)
    ]
