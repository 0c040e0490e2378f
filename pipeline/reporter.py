"""The interface through which stages report progress, independent of terminals (tests: train/test_journal.py)."""

from contextlib import AbstractContextManager
from typing import Protocol, Self


class Bar(Protocol):
    """A progress bar."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Advance by `count` and show `note` next to the bar."""
        ...


class Reporter(Protocol):
    """Shows progress and messages."""

    def bar(
        self, label: str, total: int, done: int = 0, *, at_notes: bool = False
    ) -> AbstractContextManager[Bar]:
        """Open a bar of `total` parts of which `done` are complete.

        Args:
            label: name of the work.
            total: number of parts.
            done: number of parts that are complete.
            at_notes: in a log, which has lines instead of a bar, print one for each note.
        """
        ...

    def status(self, label: str) -> AbstractContextManager[object]:
        """Show that work without a count is going on."""
        ...

    def say(self, text: str) -> None:
        """Show a line to the user."""
        ...

    def warn(self, text: str) -> None:
        """Show a warning to the user."""
        ...


class Silent:
    """A reporter without output, for tests and for use as a library."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def bar(self, label: str, total: int, done: int = 0, *, at_notes: bool = False) -> "Silent":
        """Return a bar that is not shown."""
        del label, total, done, at_notes
        return self

    def status(self, label: str) -> "Silent":
        """Show no status."""
        del label
        return self

    def advance(self, count: int = 1, note: str = "") -> None:
        """Ignore the progress."""

    def say(self, text: str) -> None:
        """Ignore the line."""

    def warn(self, text: str) -> None:
        """Ignore the warning."""
