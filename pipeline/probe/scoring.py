"""Fit a linear head on each feature without a fold, and count its pixels on the views of that fold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from pipeline.probe.sample import Sample
from pipeline.probe.sources import Source
from pipeline.probe.values import FeatureScore, Kept
from pipeline.reporter import Bar
from rsmtdf_core.arrays import Floats, Pixels
from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.counts import Confusion, PixelCounts
from rsmtdf_core.evaluation.protocols.rsmtdf import RSMTDF
from rsmtdf_core.probing.cells import class_shares, resize_area
from rsmtdf_core.probing.moments import Moments
from rsmtdf_core.probing.ridge import CrossValidation
from rsmtdf_core.probing.similarity import CrossCovariance, ExplainedVariance, linear_cka
from rsmtdf_core.probing.spread import paired_difference
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.views.render import ViewRenderer


@dataclass(frozen=True)
class _Group:
    """Sources whose features are concatenated, so that one pass serves each of them and their pairs."""

    sources: tuple[Source, ...]

    @property
    def channels(self) -> int:
        """Number of channels of all sources together."""
        return sum(source.channels for source in self.sources)

    def of(self, chosen: Sequence[Source]) -> npt.NDArray[np.int64]:
        """Return the channels of some of the sources."""
        starts = np.cumsum([0, *(source.channels for source in self.sources)])
        ranges = [
            np.arange(start, start + source.channels)
            for source, start in zip(self.sources, starts, strict=False)
            if source in chosen
        ]
        return np.concatenate(ranges)


@dataclass
class _Candidate:
    """Features that get a head: some channels of a group, given by its number."""

    group: int
    sources: tuple[Source, ...]
    channels: npt.NDArray[np.int64]
    validation: CrossValidation
    counts: list[Confusion]

    def of(self, cells: list[Floats]) -> Floats:
        """Select the features, [n, D], from those of each group."""
        return cells[self.group][:, self.channels]


class Scoring:
    """Scores the features of the sampled views.

    Args:
        sample: the views and their folds.
        renderer: renders the masks of the views.
        grid: rows and columns of the common grid.
        teachers: the teachers' tokens; pairs of them are scored too.
        students: the students' features.
    """

    def __init__(
        self,
        sample: Sample,
        renderer: ViewRenderer,
        grid: tuple[int, int],
        teachers: Sequence[Source],
        students: Sequence[Source],
    ) -> None:
        self._sample = sample
        self._manifest: Manifest = sample.experiment.dataset.manifest
        self._grid = grid
        self._masks = [renderer.mask(row) for row in range(len(sample.folds))]
        self._teachers, self._students = tuple(teachers), tuple(students)
        self._groups = [_Group(self._teachers), *(_Group((student,)) for student in students)]
        self._moments: list[list[Moments]] = []

    @property
    def passes(self) -> int:
        """Number of advances of the bar."""
        return 3 * len(self._masks)

    def run(self, bar: Bar) -> list[FeatureScore]:
        """Return the scores of each teacher, each pair of teachers and each student.

        Raises:
            DataError: If fewer than two folds have labeled pixels.
        """
        self._add_moments(bar)
        labeled = [fold for fold, moments in enumerate(self._moments[0]) if moments.weight > 0]
        if len(labeled) < 2:
            raise DataError(
                "fewer than two images of the sample have labeled pixels in their views",
                where=self._sample.experiment.config.data.root,
                remedy="raise --views, or check the masks with `rsmtdf data check`",
            )
        candidates = self._candidates(labeled)
        for row, cells in self._labeled_views(labeled, bar):
            shares, weights = self._shares(row, self._grid)
            fold = labeled.index(int(self._sample.folds[row]))
            for candidate in candidates:
                candidate.validation.add(fold, candidate.of(cells), shares, weights)
        heads = [dict(zip(labeled, each.validation.heads(), strict=True)) for each in candidates]
        for row, cells in self._labeled_views(labeled, bar):
            fold = int(self._sample.folds[row])
            for candidate, by_fold in zip(candidates, heads, strict=True):
                scores = by_fold[fold](candidate.of(cells))
                ids = self._predicted(scores, self._masks[row].shape[0])
                candidate.counts[fold].add(self._masks[row], ids)
        return self._with_differences([self._score(candidate) for candidate in candidates])

    def _labeled_views(self, labeled: list[int], bar: Bar) -> Iterator[tuple[int, list[Floats]]]:
        """Yield the row and the features, by group [h * w, D], of each view in a fold with labeled pixels."""
        for row, fold in enumerate(self._sample.folds.tolist()):
            if fold in labeled:
                yield row, [self._features(group, row) for group in self._groups]
            bar.advance()

    def kept(self) -> list[Kept]:
        """Return the similarity of each student's features to each teacher's tokens; after `run`."""
        return [
            self._similarity(number, student, teacher)
            for number, student in enumerate(self._students, start=1)
            for teacher in self._teachers
            if student.kind != "random student"
        ]

    def _add_moments(self, bar: Bar) -> None:
        classes, folds = len(self._manifest.classes), len(self._sample.scenes)
        self._moments = [
            [Moments.zeros(group.channels, classes) for _ in range(folds)] for group in self._groups
        ]
        for row, fold in enumerate(self._sample.folds.tolist()):
            shares, weights = self._shares(row, self._grid)
            for group, moments in zip(self._groups, self._moments, strict=True):
                moments[fold].add(self._features(group, row), shares, weights)
            bar.advance()

    def _candidates(self, labeled: list[int]) -> list[_Candidate]:
        classes, ignore_id = len(self._manifest.classes), self._manifest.ignore_id
        candidates = []
        for number, (group, moments) in enumerate(zip(self._groups, self._moments, strict=True)):
            singles = [(source,) for source in group.sources]
            for sources in (*singles, *combinations(group.sources, 2)):
                channels = group.of(sources)
                validation = CrossValidation([moments[fold].channels(channels) for fold in labeled])
                counts = [Confusion(classes, ignore_id) for _ in self._sample.scenes]
                candidates.append(_Candidate(number, sources, channels, validation, counts))
        return candidates

    def _features(self, group: _Group, row: int) -> Floats:
        """Return the features of a view on the common grid, float32 [h * w, D]."""
        maps = [
            resize_area(
                torch.from_numpy(source.features.tokens(row)).permute(2, 0, 1)[None], self._grid
            )
            for source in group.sources
        ]
        return np.ascontiguousarray(torch.cat(maps, dim=1)[0].flatten(1).T.numpy())

    def _shares(self, row: int, grid: tuple[int, int]) -> tuple[Floats, Floats]:
        classes = len(self._manifest.classes)
        return class_shares(self._masks[row], grid, classes, self._manifest.ignore_id)

    def _predicted(self, scores: Floats, side: int) -> Pixels:
        """Return the class ids, uint8 [side, side], of the scores of all cells."""
        maps = torch.from_numpy(scores).T.reshape(1, -1, *self._grid)
        resized = F.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)
        return resized[0].argmax(dim=0).to(torch.uint8).numpy()

    def _score(self, candidate: _Candidate) -> FeatureScore:
        by_fold = [counts.counts for counts in candidate.counts]
        scores = RSMTDF.score(_summed(by_fold), self._manifest)
        sources = candidate.sources
        seconds = [source.seconds for source in sources if source.seconds is not None]
        sizes = [source.bytes for source in sources if source.bytes is not None]
        pair = len(sources) > 1
        taught = sources[0].kind == "teacher"
        return FeatureScore(
            name=" + ".join(source.name for source in sources),
            kind="pair" if pair else sources[0].kind,
            teachers=tuple(source.name for source in sources) if taught else (),
            channels=len(candidate.channels),
            random_weights=any(source.random_weights for source in sources),
            origin="cache" if all(source.origin == "cache" for source in sources) else "computed",
            seconds=sum(seconds) if len(seconds) == len(sources) else None,
            bytes=sum(sizes) if len(sizes) == len(sources) else None,
            miou=scores.miou or 0.0,
            overall_accuracy=scores.overall_accuracy,
            iou={row.name: row.iou for row in scores.classes},
            fold_miou=tuple(self._fold_miou(counts) for counts in by_fold),
        )

    def _fold_miou(self, counts: PixelCounts) -> float | None:
        try:
            return RSMTDF.score(counts, self._manifest).miou
        except DataError:  # no pixel of this fold has a scored class
            return None

    def _with_differences(self, scores: list[FeatureScore]) -> list[FeatureScore]:
        initial = next((score for score in scores if score.kind == "student"), None)
        if initial is None:
            return scores
        compared = []
        for score in scores:
            difference = paired_difference(score.fold_miou, initial.fold_miou)
            update = {
                "over_student": difference.mean,
                "margin": difference.margin,
                "wins": difference.wins,
            }
            compared.append(score if score is initial else score.model_copy(update=update))
        return compared

    def _similarity(self, number: int, student: Source, teacher: Source) -> Kept:
        """Compare a student, the group of this number, with a teacher on the labeled parts of all views."""
        group, last = self._groups[number], slice(-student.last, None)
        translated = student.translated.get(teacher.name)
        learned = student.targets.get(teacher.name)
        cross = CrossCovariance(student.last, teacher.channels)
        explained = ExplainedVariance(teacher.channels)
        of_teacher = self._groups[0].of((teacher,))
        for row in range(len(self._masks)):
            _, weights = self._shares(row, self._grid)
            tokens = self._features(self._groups[0], row)[:, of_teacher]
            cross.add(self._features(group, row)[:, last], tokens, weights)
            if translated is not None:
                target, output = teacher.features.tokens(row), translated.tokens(row)
                if learned is not None:
                    target = learned(torch.from_numpy(target)).numpy()
                _, on_grid = self._shares(row, (target.shape[0], target.shape[1]))
                flat = target.shape[-1]
                explained.add(target.reshape(-1, flat), output.reshape(-1, flat), on_grid)
        first = Moments.total(self._moments[number]).covariance[last, last]
        second = Moments.total(self._moments[0]).channels(of_teacher).covariance
        return Kept(
            teacher=teacher.name,
            student=student.kind,
            cka=linear_cka(first, second, cross.covariance),
            explained_variance=None if translated is None else explained.share,
        )


def _summed(counts: Sequence[PixelCounts]) -> PixelCounts:
    return PixelCounts(
        np.sum([part.matrix for part in counts], axis=0),
        np.sum([part.ignored for part in counts], axis=0),
    )
