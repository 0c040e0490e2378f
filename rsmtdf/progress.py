"""Progress of verbs in Python: messages go to the logger `rsmtdf`, and bars to tqdm on request."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.reporter import Silent
from rsmtdf_core.words import printable

if TYPE_CHECKING:
    from tqdm.auto import tqdm

logger = logging.getLogger("rsmtdf")


class LoggingReporter(Silent):
    """Logs messages; shows no bars."""

    def say(self, text: str) -> None:
        """Log at level INFO, which Python hides by default."""
        logger.info("%s", printable(text))

    def warn(self, text: str) -> None:
        """Log at level WARNING, which Python shows on standard error by default."""
        logger.warning("%s", printable(text))


class _TqdmBar:
    def __init__(self, bar: "tqdm[None]") -> None:
        self._bar = bar

    def advance(self, count: int = 1, note: str = "") -> None:
        """Advance the bar; an empty note keeps the previous note."""
        self._bar.update(count)
        if note:
            self._bar.set_postfix_str(printable(note))


class TqdmReporter(LoggingReporter):
    """Logs messages, and shows bars as text or, in a notebook, as widgets."""

    @contextmanager
    def bar(  # type: ignore[override] # closed at exit
        self, label: str, total: int, done: int = 0, *, at_notes: bool = False
    ) -> Iterator[_TqdmBar]:
        """Show a bar with `total` parts, `done` of which are complete."""
        from tqdm.auto import tqdm

        del at_notes

        with tqdm(desc=printable(label), total=total, initial=done) as bar:
            yield _TqdmBar(bar)


def reporter(*, progress: bool) -> LoggingReporter:
    """Return the reporter of a verb, with or without bars."""
    return TqdmReporter() if progress else LoggingReporter()
