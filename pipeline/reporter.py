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

    def bar(self, label: str, total: int, done: int = 0) -> AbstractContextManager[Bar]:
        """Open a bar of `total` parts of which `done` are complete."""
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

    def bar(self, label: str, total: int, done: int = 0) -> "Silent":
        """Return a bar that is not shown."""
        del label, total, done
        return self

    def advance(self, count: int = 1, note: str = "") -> None:
        """Ignore the progress."""

    def say(self, text: str) -> None:
        """Ignore the line."""

    def warn(self, text: str) -> None:
        """Ignore the warning."""
