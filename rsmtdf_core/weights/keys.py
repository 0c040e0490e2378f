"""The keys of containers in a file from outside: those that Python cannot be slowed down by.

Python hashes text with a secret of the process, but numbers and tuples without one. A file can therefore choose numbers
that all collide, and a dictionary of n such keys takes n^2 steps. The hash of tuples that share tuples takes
exponentially many. Genuine weights are keyed by text, and the states of optimizers by small numbers.
"""

from collections.abc import Hashable, Iterable

_SMALL = 2**20
"""Whole numbers below this are too close to each other to collide often."""
_MOST_OTHERS = 4096
_LONGEST = 16
_FLAT = (str, bytes, int, float, bool, type(None))


class KeyGuard:
    """Lets the keys of one file pass as long as filling containers with them takes little time."""

    def __init__(self) -> None:
        self._others = 0

    def check(self, keys: Iterable[object]) -> None:
        """Refuse keys that may take long; an unhashable one is left to its container.

        Raises:
            ValueError: where one is a nested tuple or no plain value, or too many are neither text nor small numbers.
        """
        for key in keys:
            kind = type(key)
            if kind is str or kind is bytes or kind.__hash__ is object.__hash__:
                continue
            if kind is int and isinstance(key, int) and 0 <= key < _SMALL:
                continue
            if isinstance(key, Hashable) and not _is_flat(key):
                raise ValueError("a key is neither text nor a number")
            self._others += 1
            if self._others > _MOST_OTHERS:
                raise ValueError(
                    f"more than {_MOST_OTHERS} keys are neither text nor small numbers"
                )


def require_near(index: int, count: int) -> None:
    """Refuse the index of a memo entry that is far from the `count` of those that are there.

    Raises:
        ValueError: where it is; writers number the entries one after the other.
    """
    if not 0 <= index <= count + _SMALL:
        raise ValueError(f"a memo of {count} objects is given a far index")


def require_text(key: object) -> None:
    """Refuse a name that is no text.

    Raises:
        ValueError: where it is something else.
    """
    if type(key) is not str:
        raise ValueError("a name is no text")


def _is_flat(key: object) -> bool:
    """Whether a key is a plain value or a short tuple of such."""
    parts = key if isinstance(key, tuple) else (key,)
    return len(parts) <= _LONGEST and all(type(part) in _FLAT for part in parts)
