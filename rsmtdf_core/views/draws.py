"""Random numbers that depend only on a key, never on earlier draws.

A view's parameters must not change when scenes are added, reordered or given more views, nor with a
new version of NumPy. So each view has its own generators, keyed by sha256. All distributions are
computed here from raw Philox words, because NumPy keeps the raw streams of its bit generators
stable across versions, but not its distributions (NEP 19).
"""

import hashlib

import numpy as np
import numpy.typing as npt

from rsmtdf_core.fingerprints import canonical_json


def key_digest(seed: int, *key: str | int) -> bytes:
    """Return the sha256 (32 bytes) of a key; sorting by it gives a fixed, random-looking order."""
    return hashlib.sha256(canonical_json([seed, *key])).digest()


class KeyedDraws:
    """A stream of draws, determined by its seed and key on every machine and in every version.

    Args:
        seed: the experiment's seed.
        key: the purpose of the draws, e.g. a scene's id, a view's number and the parameter's name.
    """

    def __init__(self, seed: int, *key: str | int) -> None:
        self._philox = np.random.Philox(key=int.from_bytes(key_digest(seed, *key)[:16], "little"))

    def uniform(self, lo: float = 0.0, hi: float = 1.0) -> float:
        """Draw a float in [lo, hi) from 53 random bits."""
        return lo + (hi - lo) * ((self._word() >> 11) * 2.0**-53)

    def integer(self, lo: int, hi: int) -> int:
        """Draw an integer in [lo, hi], both inclusive, with a bias of at most (hi - lo + 1) / 2^64."""
        assert lo <= hi, (lo, hi)
        return lo + (self._word() * (hi - lo + 1) >> 64)

    def chance(self, p: float) -> bool:
        """Return True with probability p: never for p = 0, always for p = 1."""
        return self.uniform() < p

    def permutation(self, n: int) -> npt.NDArray[np.int64]:
        """Return the numbers 0 to n - 1 in random order, int64 [n] (Fisher and Yates)."""
        order = list(range(n))
        for last in range(n - 1, 0, -1):
            other = self.integer(0, last)
            order[last], order[other] = order[other], order[last]
        return np.array(order, np.int64)

    def _word(self) -> int:
        return int(self._philox.random_raw())
