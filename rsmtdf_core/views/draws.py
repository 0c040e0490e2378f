"""Random numbers that depend on a key alone, never on what was drawn before.

A view's parameters must not change when scenes are added, reordered or given more views, nor with a
new version of numpy. So each view has its own generators, keyed by sha256, and everything is made
here from raw Philox words: numpy keeps the raw streams of its bit generators stable across
versions, but not its distributions (NEP 19).
"""

import hashlib

import numpy as np
import numpy.typing as npt

from rsmtdf_core.fingerprints import canonical_json


def key_digest(seed: int, *key: str | int) -> bytes:
    """The sha256 (32 bytes) of a key; also an order of keys that looks random and never changes."""
    return hashlib.sha256(canonical_json([seed, *key])).digest()


class KeyedDraws:
    """A stream of draws that is the same wherever and whenever its seed and key are.

    Args:
        seed: the experiment's seed.
        key: what the draws are for, e.g. a scene's id, a view's number and a purpose.
    """

    def __init__(self, seed: int, *key: str | int) -> None:
        self._philox = np.random.Philox(key=int.from_bytes(key_digest(seed, *key)[:16], "little"))

    def uniform(self, lo: float = 0.0, hi: float = 1.0) -> float:
        """A float in [lo, hi), made of 53 random bits."""
        return lo + (hi - lo) * ((self._word() >> 11) * 2.0**-53)

    def integer(self, lo: int, hi: int) -> int:
        """An integer in [lo, hi], both ends in; its bias is at most (hi - lo + 1) / 2^64."""
        assert lo <= hi, (lo, hi)
        return lo + (self._word() * (hi - lo + 1) >> 64)

    def chance(self, p: float) -> bool:
        """True with probability p; always False for 0 and always True for 1."""
        return self.uniform() < p

    def permutation(self, n: int) -> npt.NDArray[np.int64]:
        """The numbers 0 to n - 1 in random order, int64 [n] (Fisher and Yates)."""
        order = list(range(n))
        for last in range(n - 1, 0, -1):
            other = self.integer(0, last)
            order[last], order[other] = order[other], order[last]
        return np.array(order, np.int64)

    def _word(self) -> int:
        return int(self._philox.random_raw())
