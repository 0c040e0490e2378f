"""Draws of tiles, crops or blocks for splits, the same on every machine (tests: test_splits.py)."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from rsmtdf_core.errors import DataError
from rsmtdf_core.fingerprints import canonical_json
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.split_settings import SplitName

_PLURALS = {"parent": "images or tiles", "crop": "crops", "block": "blocks"}


class Draw:
    """The draw of the units of a split, such as tiles or blocks, in the random order of its seed.

    Units are drawn with weights if they are blocks, the numbers of their scenes with a mask. Folds and blocks without
    a mask are for training.
    """

    def __init__(self, manifest: Manifest, split: SplitName) -> None:
        self._spec, self._split = manifest.splits[split], split
        self._folds = manifest.folds
        self._scenes: Counter[str] = Counter()
        self._masked: Counter[str] = Counter()

    def add(self, unit: str, *, masked: bool) -> None:
        """Add a scene or image of a unit."""
        self._scenes[unit] += 1
        self._masked[unit] += masked

    def chosen(self) -> set[str]:
        """Return the units of the split.

        Raises:
            DataError: If there are fewer units with a mask than folds.
        """
        weights = self._weights()
        units = sorted(
            (unit for unit, weight in weights.items() if weight),
            key=lambda unit: rank(self._spec.seed, unit),
        )
        total = sum(weights.values())
        slices = [
            (int(low * total + 0.5), int(high * total + 0.5)) for low, high in self._shares(units)
        ]
        chosen = {unit for unit, weight in weights.items() if not weight and self._split == "train"}
        before = 0
        for unit in units:
            # A unit belongs to the slice that has its middle.
            middle = before + (weights[unit] - 1) // 2
            before += weights[unit]
            if any(low <= middle < high for low, high in slices):
                chosen.add(unit)
        return chosen

    def _weights(self) -> Mapping[str, int]:
        by_block, masked = self._spec.by == "block", self._masked
        if self._spec.folds is None and not (by_block and masked.total()):
            masked = self._scenes
        return masked if by_block else {unit: min(1, count) for unit, count in masked.items()}

    def _shares(self, units: Sequence[str]) -> list[tuple[float, float]]:
        if self._spec.folds is None:
            return [self._spec.share]
        assert self._folds is not None, "the manifest checks it"
        if len(units) < self._folds:
            raise DataError(
                f"{self._folds} folds need as many {_PLURALS[self._spec.by]} with masks, found {len(units)}",
                where=f"splits.{self._split}.folds",
                remedy="lower `folds` in the manifest, or add masks",
            )
        return [(number / self._folds, (number + 1) / self._folds) for number in self._spec.folds]


def rank(seed: int, name: str) -> bytes:
    """Return a sort key for an id in a seeded random order, independent of the machine and of other ids."""
    return hashlib.sha256(canonical_json([seed, name])).digest()
