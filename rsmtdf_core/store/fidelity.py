"""Fidelity of restored tokens to the originals: measured while writing, kept as a certificate.

Records of a store are measured separately, by several workers and at different times. So each measurement
keeps a histogram, and the histograms are added for the percentiles of the whole store.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Floats

# Bins of 1 - cosine: bin n > 0 ends at 10 ** (n / BINS_A_DECADE - 9), and bin 0 has all smaller
# values. 299 bins reach 2, the value of opposite tokens.
BINS_A_DECADE = 32
_DECADES = 9
_BINS = 299
_PERCENTILE = 0.01


@dataclass(frozen=True, slots=True)
class Losses:
    """The spread of 1 - cosine over tokens.

    Attributes:
        total: the sum.
        largest: the maximum.
        first: index of the first non-empty bin; 0 without tokens.
        counts: tokens in each bin from the first to the last non-empty bin.
    """

    total: float = 0.0
    largest: float = 0.0
    first: int = 0
    counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, losses: npt.NDArray[np.float64]) -> "Losses":
        """Return the spread of the given losses, each from 0 to 2."""
        with np.errstate(divide="ignore"):
            bins = np.ceil((np.log10(losses) + _DECADES) * BINS_A_DECADE)
        counts = np.bincount(np.clip(bins, 0, _BINS - 1).astype(np.int64).reshape(-1))
        return cls(float(losses.sum()), float(losses.max(initial=0)), *_trimmed(counts))

    def plus(self, other: "Losses") -> "Losses":
        """Return the spread over the tokens of both."""
        counts = np.zeros(_BINS, np.int64)
        for part in (self, other):
            counts[part.first : part.first + len(part.counts)] += np.array(part.counts, np.int64)
        return Losses(self.total + other.total, max(self.largest, other.largest), *_trimmed(counts))

    def summary(self) -> dict[str, float]:
        """Return mean, 1st percentile and minimum of the cosine; needs at least one token."""
        tokens = sum(self.counts)
        worst = np.cumsum(self.counts[::-1])
        bin_number = self.first + len(self.counts) - 1
        bin_number -= int(np.searchsorted(worst, _PERCENTILE * tokens, side="right"))
        edge = 10 ** (bin_number / BINS_A_DECADE - _DECADES)
        return {
            "mean": 1 - self.total / tokens,
            "p1": 1 - min(edge, self.largest),
            "min": 1 - self.largest,
        }


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The fidelity of restored tokens to the originals, for one record or many.

    Means, minima and the relative error are exact. The 1st percentile is the upper end of a
    histogram's bin of 1 - cosine, 32 bins per decade: it is never better than the exact value, and its
    distance from 1 is at most 7.5 % too large (or 1e-9).

    Attributes:
        records: number of measured records.
        tokens: number of measured tokens.
        cosine: of the tokens. Two zero tokens have cosine 1, a zero and a non-zero token have 0.
        centred: of the tokens after subtracting the channels' mean from both; otherwise a large
            common offset hides every loss.
        error: sum of squared differences.
        energy: sum of squares of the originals.
    """

    records: int = 0
    tokens: int = 0
    cosine: Losses = Losses()
    centred: Losses = Losses()
    error: float = 0.0
    energy: float = 0.0

    @classmethod
    def measure(cls, original: Floats, restored: Floats, mean: Floats) -> "Fidelity":
        """Compare the tokens of one record, float32 [H, W, D] each; `mean` is float32 [D]."""
        assert original.shape == restored.shape, (original.shape, restored.shape)
        change = restored - original
        error = _dots(change, change)
        cosine, energy = _losses(original, restored, change, error)
        centred, _ = _losses(original - mean, restored - mean, change, error)
        return cls(
            records=1,
            tokens=cosine.size,
            cosine=Losses.of(cosine),
            centred=Losses.of(centred),
            error=float(error.sum()),
            energy=float(energy.sum()),
        )

    @classmethod
    def merged(cls, several: Iterable["Fidelity"]) -> "Fidelity":
        """Return the fidelity over all records; without any it is `Fidelity()`."""
        whole = cls()
        for part in several:
            whole = cls(
                whole.records + part.records,
                whole.tokens + part.tokens,
                whole.cosine.plus(part.cosine),
                whole.centred.plus(part.centred),
                whole.error + part.error,
                whole.energy + part.energy,
            )
        return whole

    def to_json(self) -> dict[str, Any]:
        """Return a JSON value of about 1 KB for `from_json`."""
        spreads = {"cosine": self.cosine, "centred": self.centred}
        return {
            "records": self.records,
            "tokens": self.tokens,
            **{name: [s.total, s.largest, s.first, *s.counts] for name, s in spreads.items()},
            "error": self.error,
            "energy": self.energy,
        }

    @classmethod
    def from_json(cls, value: object) -> "Fidelity":
        """Parse a value of `to_json`.

        Raises:
            ValueError: If the value is malformed.
        """
        names = {"records", "tokens", "cosine", "centred", "error", "energy"}
        if not isinstance(value, dict) or value.keys() != names:
            raise ValueError("a fidelity has other fields")
        records, tokens = _count(value["records"]), _count(value["tokens"])
        cosine, centred = (_parse_losses(value[name], tokens) for name in ("cosine", "centred"))
        return cls(
            records, tokens, cosine, centred, _amount(value["error"]), _amount(value["energy"])
        )

    def certificate(self) -> dict[str, Any]:
        """Return the certificate of a store as a JSON value; without tokens only their number.

        `relative_error` is the root of the sum of squared differences over the sum of squares.
        """
        if not self.tokens:
            return {"records": self.records, "tokens": 0}
        # If all originals are zero, they have no scale to compare with.
        scale = self.energy or self.error or 1.0
        return {
            "records": self.records,
            "tokens": self.tokens,
            "cosine": self.cosine.summary(),
            "centred_cosine": self.centred.summary(),
            "relative_error": sqrt(self.error / scale),
        }


def _dots(a: Floats, b: Floats) -> npt.NDArray[np.float64]:
    dots: npt.NDArray[np.float32] = np.einsum("hwd,hwd->hw", a, b)
    return dots.astype(np.float64)


def _losses(
    original: Floats, restored: Floats, change: Floats, error: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return 1 - cosine of each token, and the originals' squared lengths.

    Computed from the change, because 1 minus a quotient near 1 would be mere rounding error in float32.
    """
    energy, restored_energy = _dots(original, original), _dots(restored, restored)
    lengths, restored_lengths = np.sqrt(energy), np.sqrt(restored_energy)
    product = lengths * restored_lengths
    longer = _dots(change, original) * 2 + error  # restored_energy - energy
    with np.errstate(divide="ignore", invalid="ignore"):
        along = longer / (lengths + restored_lengths)
        loss = (error - along**2) / (2 * product)
    unlike = (energy > 0) != (restored_energy > 0)
    return np.where(product > 0, np.clip(loss, 0, 2), unlike.astype(np.float64)), energy


def _trimmed(counts: npt.NDArray[np.int64]) -> tuple[int, tuple[int, ...]]:
    used = np.flatnonzero(counts)
    if not len(used):
        return 0, ()
    return int(used[0]), tuple(counts[used[0] : used[-1] + 1].tolist())


def _parse_losses(value: object, tokens: int) -> Losses:
    if not isinstance(value, list) or len(value) < 3:
        raise ValueError("a spread is not a list of three numbers and counts")
    counts = tuple(map(_count, value[3:]))
    if sum(counts) != tokens or _count(value[2]) + len(counts) > _BINS:
        raise ValueError("a spread's counts do not match its tokens")
    return Losses(_amount(value[0]), _amount(value[1]), value[2], counts)


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is not a count")
    return value


def _amount(value: object) -> float:
    if not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is not an amount")
    return float(value)
