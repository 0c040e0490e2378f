"""The teacher's own word: its probe, its tokens of some views, and whether rows are in their places."""

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

# Relative difference of a token between two machines, as a share of its length: the tolerance of
# probes, which are in fp32; in half precisions some roundings more than the 2^-11 and 2^-8 of one.
_NOISE = {"fp32": PROBE_TOLERANCE, "fp16": 1e-2, "bf16": 5e-2}
_ROUNDING = 2.0**-11
# A certificate comes from a part of the records, so others may be worse than its 1st percentile in
# more than one token of a hundred, and than its minimum.
_SLACK_P1, _SLACK_MIN, _SHARE_P1 = 2.0, 4.0, 0.05
_SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class _Fit:
    """How one record compares with what the teacher says now.

    Attributes:
        row: its store row.
        fidelity: of the stored tokens against the recomputed ones.
        error: distance of each token, as a share of its length from the channels' mean.
        length: length of each token, in the same unit.
        mirrored: mean-centred cosine with the mirrored view; None where that looks the same.
        neighbour: the better one of those with the views in the rows before and after.
    """

    row: int
    fidelity: Fidelity
    error: Floats
    length: Floats
    mirrored: float | None
    neighbour: float | None

    @property
    def own(self) -> float:
        """Mean-centred cosine with the view's own tokens."""
        return _centred(self.fidelity)

    def misplaced(self) -> bool:
        """Whether another view fits better."""
        return any(one is not None and one > self.own for one in (self.mirrored, self.neighbour))


@lru_cache(maxsize=4)
def _teacher(settings: TeacherSettings, crop: int, device: str) -> Teacher:
    return load_teacher(settings, crop, device)


def forget_teachers() -> None:
    """Let go of the teachers that were loaded to verify stores."""
    _teacher.cache_clear()


def find_teacher(store: FeatureStore, config: ExperimentConfig) -> Teacher:
    """The teacher of a store, loaded from weights that are on this machine.

    Raises:
        SkippedError: where the config does not name it, or its weights are not here.
        TeacherError: where its weights are damaged or not those that the config names.
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
    said = f": {'; '.join(nearest)}" if nearest else ""
    raise SkippedError(f"the config does not name the teacher of this store{said}")


def check_probe(store: FeatureStore, teacher: Teacher) -> str:
    """The teacher says of the probe image what it said when the store was made.

    Raises:
        StoreMismatchError: where it does not.
    """
    drift = probe_difference(store.metadata.probe, teacher.probe())
    said = f"its output on the probe image differs by {drift:.2%}"
    if drift > PROBE_TOLERANCE:
        raise StoreMismatchError(
            f"{said}, more than {PROBE_TOLERANCE:.2%}: another teacher, or one that computes otherwise",
            where=store.path,
            remedy=f"use the weights and libraries of that time; or make the store again: {_again(store)}",
        )
    return f"{said}, at most {PROBE_TOLERANCE:.2%} may be"


class TokenComparison:
    """Some records of a store against the teacher's tokens of their views and of other ones.

    Args:
        store: whose records.
        views: renders them.
        teacher: the store's.
        rows: the store rows with a record.
        count: of how many records to take.
        reporter: shows progress.

    Raises:
        StoreDamagedError: where a record is not what was written.
        SkippedError: where no scene is here.
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
                f"the teacher gives tokens {teacher.shape.record_shape}, stored are "
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
        """Stored tokens differ from the recomputed ones by no more than the codec explains.

        Raises:
            StoreMismatchError: where they do.
        """
        p1, least = _losses(self._store)
        limits = [fit.length * self._allowed() for fit in self._fits]
        pairs = list(zip(self._fits, limits, strict=True))
        often = sum(int((fit.error > _SLACK_P1 * p1 + own).sum()) for fit, own in pairs)
        far = [fit.row for fit, own in pairs if (fit.error > _SLACK_MIN * least + own).any()]
        tokens = sum(fit.error.size for fit in self._fits)
        found = Fidelity.merged(fit.fidelity for fit in self._fits).certificate()["centred_cosine"]
        said = (
            f"{len(self._fits)} views computed again: centred cosine with what is stored {found['mean']:.6f} "
            f"on average, {found['min']:.6f} at least"
        )
        if far or often > _SHARE_P1 * tokens:
            first = f", in {len(far)} views far, the first at store row {far[0]}" if far else ""
            raise StoreMismatchError(
                f"{said}; {often} of {tokens} tokens differ by more than the codec explains{first}",
                where=self._store.path,
                remedy=_again(self._store),
            )
        return f"{said}, as the codec explains"

    def check_alignment(self) -> str:
        """Each record fits its own view better than the mirrored view and the rows beside it.

        Raises:
            StoreMismatchError: where another view fits better.
        """
        wrong = [fit for fit in self._fits if fit.misplaced()]
        if wrong:
            first = wrong[0]
            raise StoreMismatchError(
                f"{len(wrong)} of {len(self._fits)} records fit another view better than their own; store "
                f"row {first.row}: its own {first.own:.4f}, mirrored {_shown(first.mirrored)}, in a row "
                f"beside it {_shown(first.neighbour)} (centred cosine)",
                where=self._store.path,
                remedy=_again(self._store),
            )
        margins = []
        for name in ("mirrored", "neighbour"):
            others = [(fit.own, getattr(fit, name)) for fit in self._fits]
            found = [own - other for own, other in others if other is not None]
            margins.append(f"{min(found):+.4f}" if found else "(no view to compare)")
        return (
            f"{len(self._fits)} records fit their own view best; smallest margin of the centred cosine "
            f"{margins[0]} to the mirrored view, {margins[1]} to the rows beside it"
        )

    def _allowed(self) -> float:
        """What other machines and rounding may change, as a share of a token's length."""
        return _NOISE[self._teacher.settings.precision] + _ROUNDING

    def _fit(self, row: int, stored: Floats) -> _Fit:
        own = self._image(row)
        beside = [self._image(one) for one in (row - 1, row + 1) if one in self._rows]
        others = [own[:, ::-1], *beside]
        images = np.stack([own, *others]).transpose(0, 3, 1, 2)
        tokens = self._teacher.tokens(torch.from_numpy(images.copy())).cpu().numpy()
        cosines = [
            None
            if np.array_equal(own, image)
            else _centred(Fidelity.measure(theirs, stored, self._mean))
            for image, theirs in zip(others, tokens[1:], strict=True)
        ]
        centred = np.maximum(np.linalg.norm(tokens[0] - self._mean, axis=-1), _SMALLEST)
        return _Fit(
            row,
            Fidelity.measure(tokens[0], stored, self._mean),
            np.linalg.norm(stored - tokens[0], axis=-1) / centred,
            np.linalg.norm(tokens[0], axis=-1) / centred,
            cosines[0],
            max((one for one in cosines[1:] if one is not None), default=None),
        )

    def _image(self, row: int) -> npt.NDArray[np.uint8]:
        return self._views.renderer.teacher_view(int(self._views.place[row]))


def _again(store: FeatureStore) -> str:
    """The commands that make a store again and delete nothing."""
    return f"{set_aside_command(store.path)}; then {EXTRACT}"


def _losses(store: FeatureStore) -> tuple[float, float]:
    """What its codec, and those it was transcoded from, may change of a centred token.

    Of 99 tokens in 100, and of any, as a share of its length. Errors of codecs in a row add up at most.
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
            raise SkippedError("the store has no certificate that says what its codec loses")
        for place, name in enumerate(("p1", "min")):
            sums[place] += math.sqrt(max(0.0, 2 * (1 - float(cosine[name]))))
    return sums[0], sums[1]


def _centred(fidelity: Fidelity) -> float:
    return float(fidelity.certificate()["centred_cosine"]["mean"])


def _shown(cosine: float | None) -> str:
    return "-" if cosine is None else f"{cosine:.4f}"
