"""Limits on the keys of containers in untrusted files, so that hash collisions cannot slow Python down.

Python hashes text with a random secret, but numbers and tuples without. A file can therefore choose numbers that all
collide, and a dictionary of n such keys takes n^2 steps. Hashing nested tuples that share elements takes exponential
time. Genuine weights are keyed by text, and optimizer states by small numbers.
"""

from collections.abc import Hashable, Iterable

_SMALL = 2**20
"""Integers below this limit are too close together to collide often."""
_MOST_OTHERS = 4096
_LONGEST = 16
_MOST_BITS = 128
_FLAT = (str, bytes, int, float, bool, type(None))


class KeyGuard:
    """Checks the keys of a file, and refuses keys that make containers slow to fill."""

    def __init__(self) -> None:
        self._others = 0

    def check(self, keys: Iterable[object]) -> None:
        """Refuse keys that may be slow to hash or insert. Unhashable keys are left to the container.

        Raises:
            ValueError: If a key is a nested tuple or not a plain value, or if too many keys are neither text nor
                small integers.
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
    """Refuse a memo index that is far beyond the `count` of existing entries.

    Raises:
        ValueError: If the index is far beyond `count`; genuine files number their entries consecutively.
    """
    if not 0 <= index <= count + _SMALL:
        raise ValueError(f"memo index {index} is far beyond the {count} objects of the memo")


def require_text(key: object) -> None:
    """Refuse a name that is not a string.

    Raises:
        ValueError: If `key` is not a string.
    """
    if type(key) is not str:
        raise ValueError("a name is not a string")


def _is_flat(key: object) -> bool:
    """Whether a key is a plain value or a short tuple of plain values; a number of many digits is not plain."""
    parts = key if isinstance(key, tuple) else (key,)
    return len(parts) <= _LONGEST and all(
        type(part) in _FLAT and not (type(part) is int and part.bit_length() > _MOST_BITS)
        for part in parts
    )
