"""An answer of the page, and the numbers in its sentences."""

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.runs.compare import MeanStd
from pipeline.runs.compare.tables import spread_text


class Answer(NamedTuple):
    """The answer to a question about the runs.

    Attributes:
        question: the heading.
        short: the answer in a few words.
        sentences: the answer in full sentences.
        commands: commands that complete the answer.
    """

    question: str
    short: str
    sentences: tuple[str, ...]
    commands: tuple[str, ...] = ()


def percent(spread: MeanStd | float) -> str:
    """Format a share in 0..1, or its mean and deviation, in percent."""
    if isinstance(spread, MeanStd):
        return f"{spread_text(spread)} %"
    return f"{100 * spread:.1f} %"


def meters(length: float) -> str:
    """Format a length on the ground."""
    return f"{length / 1000:,.3g} km" if length >= 1000 else f"{length:.0f} m"


def command(*words: object) -> str:
    """Return an rsmtdf command with quoted words."""
    return shlex.join(["rsmtdf", *map(str, words)])


def listed(words: Sequence[str]) -> str:
    """Join words: a, b and c."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
