"""Check a store against its teacher: the probe, the tokens of some views, and the order of the rows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.cache.verify.report import SkippedError
from pipeline.cache.verify.views import GroupViews, spread
from pipeline.config import ExperimentConfig
from pipeline.reporter import Reporter
from rsmtdf_core.arrays import Floats, Rows
from rsmtdf_core.cache_names import set_aside_command
from rsmtdf_core.errors import StoreMismatchError
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.store.fidelity import Fidelity
from rsmtdf_core.store.metadata import EXTRACT
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.store import FeatureStore
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import (
    PROBE_TOLERANCE,
    Teacher,
    declared_identity,
    load_teacher,
    probe_difference,
)
from rsmtdf_core.teachers.weights import locate_weights

# Relative difference of a token between two machines, as a share of its length. In fp32 it is the
# tolerance of probes; in half precision it is a few roundings, each 2^-11 or 2^-8.
_NOISE = {"fp32": PROBE_TOLERANCE, "fp16": 1e-2, "bf16": 5e-2}
_ROUNDING = 2.0**-11
# A certificate covers a part of the records, so in others more than 1 % of the tokens may be worse than
# its 1st percentile, and some worse than its minimum.
_SLACK_P1, _SLACK_MIN, _SHARE_P1 = 2.0, 4.0, 0.05
_SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class _Fit:
    """How well one record matches the tokens that the teacher computes now.

    Attributes:
        row: its store row.
        fidelity: of the stored tokens against the recomputed ones.
        error: distance of each token, as a share of its length from the channels' mean.
        length: length of each token, in the same unit.
        mirrored: mean-centred cosine with the mirrored view; None if that looks the same.
        neighbour: the higher of the cosines with the views in the rows before and after.
    """

    row: int
    fidelity: Fidelity
    error: Floats
    length: Floats
    mirrored: float | None
    neighbour: float | None

    @property
    def cosine(self) -> float:
        """Mean-centred cosine with the tokens of the view itself."""
        return _centred(self.fidelity)

    def misplaced(self) -> bool:
        """Return whether another view fits better."""
        others = (self.mirrored, self.neighbour)
        return any(cosine is not None and cosine > self.cosine for cosine in others)


@lru_cache(maxsize=4)
def _teacher(settings: TeacherSettings, crop: int, device: str) -> Teacher:
    return load_teacher(settings, crop, device)


def forget_teachers() -> None:
    """Release the teachers that were loaded to verify stores."""
    _teacher.cache_clear()


def find_teacher(store: FeatureStore, config: ExperimentConfig) -> Teacher:
    """Load the teacher of a store from weights on this machine.

    Raises:
        SkippedError: If the config does not list the teacher, or its weights are not on this machine.
        TeacherError: If its weights are damaged or not those in the config.
    """
    crop, identity = int(store.group.drawing["settings"]["crop"]), store.metadata.identity
    nearest: list[str] = []
    for settings in config.teachers:
        declared = declared_identity(settings, crop)
        if declared["weights_sha256"] is None:
            declared["weights_sha256"] = identity.get("weights_sha256")
        lines = list(differences(declared, identity))
        if not lines:
            if settings.weights != "random" and locate_weights(settings) is None:
                raise SkippedError(f"the weights of {settings.name} are not on this machine")
            cuda = config.runtime.device != "cpu" and torch.cuda.is_available()
            return _teacher(settings, crop, "cuda" if cuda else "cpu")
        nearest.append(f"{settings.name} differs in {lines[0]}")
    reasons = f": {'; '.join(nearest)}" if nearest else ""
    raise SkippedError(f"the config does not list the teacher of this store{reasons}")


def check_probe(store: FeatureStore, teacher: Teacher) -> str:
    """Check that the teacher's output on the probe image is the one recorded in the store.

    Raises:
        StoreMismatchError: If it differs.
    """
    drift = probe_difference(store.metadata.probe, teacher.probe())
    difference = f"the teacher's output on the probe image differs by {drift:.2%}"
    if drift > PROBE_TOLERANCE:
        raise StoreMismatchError(
            f"{difference}, more than {PROBE_TOLERANCE:.2%}: it is another teacher or runs on other libraries",
            where=store.path,
            remedy=f"use the weights and libraries of that time; or extract the store again: {_again(store)}",
        )
    return f"{difference}, within the tolerance of {PROBE_TOLERANCE:.2%}"


class TokenComparison:
    """A comparison of some records with the teacher's tokens of their views and of other views.

    Args:
        store: the store to check.
        views: renders the views.
        teacher: the store's teacher.
        rows: the store rows with a record.
        count: number of records to compare.
        reporter: shows progress.

    Raises:
        StoreDamagedError: If a record is damaged.
        SkippedError: If the dataset has none of the scenes.
    """

    def __init__(
        self,
        store: FeatureStore,
        views: GroupViews,
        teacher: Teacher,
        rows: Rows,
        count: int,
        reporter: Reporter,
    ) -> None:
        if teacher.shape.record_shape != store.shape.record_shape:
            raise StoreMismatchError(
                f"the teacher's tokens have the shape {teacher.shape.record_shape}, the stored tokens "
                f"{store.shape.record_shape}",
                where=store.path,
                remedy=_again(store),
            )
        self._store, self._views, self._teacher = store, views, teacher
        self._rows = views.renderable(rows)
        self._mean = store.facts.parameters["mean"]
        reader = FeatureReader(store, np.arange(store.metadata.rows), check="always")
        sample = spread(self._rows, count).tolist()
        self._fits = []
        with reporter.bar(f"teacher {teacher.settings.name}", len(sample)) as bar:
            for row in sample:
                self._fits.append(self._fit(row, reader.tokens(row)))
                bar.advance()

    def check_features(self) -> str:
        """Check that stored and recomputed tokens differ by no more than the codec explains.

        Raises:
            StoreMismatchError: If they differ more.
        """
        p1, least = _losses(self._store)
        limits = [fit.length * self._allowed() for fit in self._fits]
        pairs = list(zip(self._fits, limits, strict=True))
        often = sum(int((fit.error > _SLACK_P1 * p1 + limit).sum()) for fit, limit in pairs)
        far = [fit.row for fit, limit in pairs if (fit.error > _SLACK_MIN * least + limit).any()]
        tokens = sum(fit.error.size for fit in self._fits)
        merged = Fidelity.merged(fit.fidelity for fit in self._fits)
        cosine = merged.certificate()["centred_cosine"]
        sentence = (
            f"{len(self._fits)} views computed again: centred cosine with the stored tokens {cosine['mean']:.6f} "
            f"on average, {cosine['min']:.6f} at least"
        )
        if far or often > _SHARE_P1 * tokens:
            first = f", far in {len(far)} views, the first at store row {far[0]}" if far else ""
            raise StoreMismatchError(
                f"{sentence}; {often} of {tokens} tokens differ by more than the codec explains{first}",
                where=self._store.path,
                remedy=_again(self._store),
            )
        return f"{sentence}, as the codec explains"

    def check_alignment(self) -> str:
        """Check that each record fits its view better than the mirrored view and the adjacent rows.

        Raises:
            StoreMismatchError: If another view fits better.
        """
        wrong = [fit for fit in self._fits if fit.misplaced()]
        if wrong:
            first = wrong[0]
            raise StoreMismatchError(
                f"{len(wrong)} of {len(self._fits)} records fit another view better than their own; store "
                f"row {first.row}: its own {first.cosine:.4f}, mirrored {_shown(first.mirrored)}, in an "
                f"adjacent row {_shown(first.neighbour)} (centred cosine)",
                where=self._store.path,
                remedy=_again(self._store),
            )
        margins = []
        for name in ("mirrored", "neighbour"):
            cosines = [(fit.cosine, getattr(fit, name)) for fit in self._fits]
            gaps = [cosine - other for cosine, other in cosines if other is not None]
            margins.append(f"{min(gaps):+.4f}" if gaps else "(no view to compare)")
        return (
            f"{len(self._fits)} records fit their own view best; smallest margin of the centred cosine "
            f"{margins[0]} to the mirrored view, {margins[1]} to the adjacent rows"
        )

    def _allowed(self) -> float:
        """Return the tolerance for other machines and rounding, as a share of a token's length."""
        return _NOISE[self._teacher.settings.precision] + _ROUNDING

    def _fit(self, row: int, stored: Floats) -> _Fit:
        image = self._image(row)
        adjacent = [self._image(number) for number in (row - 1, row + 1) if number in self._rows]
        others = [image[:, ::-1], *adjacent]
        images = np.stack([image, *others]).transpose(0, 3, 1, 2)
        tokens = self._teacher.tokens(torch.from_numpy(images.copy())).cpu().numpy()
        cosines = [
            None
            if np.array_equal(image, other)
            else _centred(Fidelity.measure(other_tokens, stored, self._mean))
            for other, other_tokens in zip(others, tokens[1:], strict=True)
        ]
        centred = np.maximum(np.linalg.norm(tokens[0] - self._mean, axis=-1), _SMALLEST)
        return _Fit(
            row,
            Fidelity.measure(tokens[0], stored, self._mean),
            np.linalg.norm(stored - tokens[0], axis=-1) / centred,
            np.linalg.norm(tokens[0], axis=-1) / centred,
            cosines[0],
            max((cosine for cosine in cosines[1:] if cosine is not None), default=None),
        )

    def _image(self, row: int) -> npt.NDArray[np.uint8]:
        return self._views.renderer.taught_view(int(self._views.plan_rows[row]))


def _again(store: FeatureStore) -> str:
    """Return the commands that extract a store again without deleting files."""
    return f"{set_aside_command(store.path)}; then {EXTRACT}"


def _losses(store: FeatureStore) -> tuple[float, float]:
    """Bound the error of a centred token, as a share of its length, in 99 % of the tokens and in all of them.

    The bounds of the store's codec and of those it was transcoded from are added.
    """
    commit = store.read_commit()
    certificates: list[Mapping[str, Any]] = []
    if not store.facts.kind.lossless:
        certificates.append(commit.certificate if commit else {})
    source = store.metadata.source
    while source is not None:
        certificates.append(source.get("certificate") or {})
        source = source.get("source")
    sums = [0.0, 0.0]
    for certificate in certificates:
        cosine = certificate.get("centred_cosine")
        if not isinstance(cosine, Mapping):
            raise SkippedError("the store has no certificate of its codec's loss")
        for index, name in enumerate(("p1", "min")):
            sums[index] += math.sqrt(max(0.0, 2 * (1 - float(cosine[name]))))
    return sums[0], sums[1]


def _centred(fidelity: Fidelity) -> float:
    return float(fidelity.certificate()["centred_cosine"]["mean"])


def _shown(cosine: float | None) -> str:
    return "-" if cosine is None else f"{cosine:.4f}"
