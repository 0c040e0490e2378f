"""Progress as lines of text, for output that is no terminal: logs of a cluster, nohup, tee."""

import time
from collections.abc import Callable
from datetime import timedelta

FIRST = 10.0
"""Seconds until the first line; work that ends sooner needs none."""
LONGEST = 300.0
"""Maximum number of seconds between lines."""
SHARE = 0.2
"""Seconds between lines, as a share of the elapsed time."""


class LineBar:
    """Prints lines that get rarer the longer the work takes, from every 10 seconds to every 5 minutes.

    Args:
        label: name of the work.
        total: number of parts.
        done: number of parts that are complete.
        write: prints a line.
        at_notes: print a line at each advance with a note instead.
        clock: returns seconds.
    """

    def __init__(
        self,
        label: str,
        total: int,
        done: int,
        write: Callable[[str], None],
        *,
        at_notes: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label, self._total, self._start, self._done = label, total, done, done
        self._write, self._at_notes, self._clock = write, at_notes, clock
        self._note = ""
        self._began = clock()
        self._next = self._began + FIRST
        self._shown: int | None = None

    def advance(self, count: int = 1, note: str = "") -> None:
        """Advance the count; an empty note keeps the previous note."""
        self._done += count
        self._note = note or self._note
        now = self._clock()
        if (note and count) if self._at_notes else now >= self._next:
            self._print(now)

    def close(self) -> None:
        """Print the last count, unless no line was printed or it is that of the last line."""
        if self._shown not in (None, self._done):
            self._print(self._clock())

    def _print(self, now: float) -> None:
        elapsed = now - self._began
        self._next = now + min(LONGEST, max(FIRST, SHARE * elapsed))
        self._shown = self._done
        percent = 100 * self._done // max(1, self._total)
        parts = [f"{self._label}: {self._done:,} of {self._total:,} ({percent} %)"]
        parts += [self._note] if self._note else []
        if elapsed > 0 and self._done > self._start:
            speed = (self._done - self._start) / elapsed
            parts.append(f"{speed:.3g}/s")
            parts.append(f"{_span(elapsed)} elapsed")
            if self._done < self._total:
                parts.append(f"{_span((self._total - self._done) / speed)} left")
        self._write(", ".join(parts))


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
