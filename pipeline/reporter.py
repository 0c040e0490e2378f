"""How a stage tells of its progress without knowing about terminals."""

from contextlib import AbstractContextManager
from typing import Protocol, Self


class Bar(Protocol):
    """A progress bar."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Move on by `count`; `note` stands beside the bar."""
        ...


class Reporter(Protocol):
    """Shows progress and messages."""

    def bar(self, label: str, total: int, done: int = 0) -> AbstractContextManager[Bar]:
        """A bar of `total` parts of which `done` are done."""
        ...

    def say(self, text: str) -> None:
        """One line for the user."""
        ...

    def warn(self, text: str) -> None:
        """One line that the user should not miss."""
        ...


class Silent:
    """Reports nothing: for tests and for use as a library."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def bar(self, label: str, total: int, done: int = 0) -> "Silent":
        """A bar that is not shown."""
        del label, total, done
        return self

    def advance(self, count: int = 1, note: str = "") -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Warn of nothing."""
