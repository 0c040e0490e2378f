"""Ratios that hold on any machine: contestants take turns, and medians are compared; and a process's memory."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

MIB = 2**20

Line = tuple[str, float, str]
"""What was measured, its value, and its bar: ">=0.95", "<=0.2", or "" where there is none."""


def alternate(
    contestants: Mapping[str, Callable[[], object]],
    rounds: int,
    between: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """Median seconds of each contestant; every round takes all of them, each time in another order.

    The order matters: who ran before leaves the processor's caches in another state, worth 5 %.
    `between` is called before each, outside of the time taken.
    """
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    order = np.random.default_rng(0)
    for _ in range(rounds):
        for name in order.permutation(list(contestants)).tolist():
            between()
            taken[name].append(timed(contestants[name]))
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def timed(contestant: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    contestant()
    return time.perf_counter() - start


def memory(name: str) -> int:
    """A number of this process's /proc/self/status, bytes: VmRSS is its memory now, VmHWM the most it had.

    getrusage would count the parent's peak, too.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def table(lines: list[Line]) -> str:
    """The lines as markdown; NaN means that it could not be measured here."""
    rows = ["| measured | value | bar | met? |", "|---|---|---|---|"]
    for label, value, bar in lines:
        limit = float(bar[2:]) if bar else 0.0
        met = (
            ""
            if not bar
            else "yes"
            if (value >= limit if bar[0] == ">" else value <= limit)
            else "no"
        )
        shown = "not installed" if np.isnan(value) else f"{value:.3g}"
        rows.append(f"| {label} | {shown} | {bar} | {'' if np.isnan(value) else met} |")
    return "\n".join(rows) + "\n"
