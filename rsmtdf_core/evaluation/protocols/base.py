"""The class of protocols, and functions that they share.

Public code differs in the treatment of ignored pixels, of absent classes, and of unscored classes. The differences
amount to whole points of mIoU. So each protocol has a name and a description, and every report includes both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Doubles
from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.scores import ClassScores, ProtocolScores, SceneScores, Scores
from rsmtdf_core.scenes.manifest import Manifest

Numbers = Doubles | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Protocol:
    """A named, exact rule for turning predictions into scores.

    Attributes:
        name: name of the protocol on the command line and in reports.
        description: the rule in words, for reports.
        score: computes the scores. It raises DataError if no pixel of the ground truth has a scored class.
        padded: whether windows at the border of a raster are scored as the padded crops that public code scores.
    """

    name: str
    description: str
    score: Callable[[PixelCounts, Manifest], Scores]
    padded: bool = False

    def __call__(self, counts: PixelCounts, manifest: Manifest) -> ProtocolScores:
        """Compute the scores of `counts`, with the name and description of the protocol."""
        scores = self.score(counts, manifest)
        return ProtocolScores(
            protocol=self.name, protocol_description=self.description, scores=scores
        )

    def scene(self, name: str, counts: PixelCounts, manifest: Manifest) -> SceneScores:
        """Compute the scores of a single scene from its `counts`; None without scored pixels."""
        pixels = int(counts.matrix.sum())
        scores: Scores | None
        try:
            scores = self.score(counts, manifest)
        except DataError:
            scores = None
        return SceneScores(
            scene=name,
            pixels=pixels,
            wrong=pixels - int(counts.matrix.trace()),
            miou=scores and scores.miou,
            overall_accuracy=scores and scores.overall_accuracy,
            iou=tuple(row.iou for row in scores.classes)
            if scores
            else (None,) * len(manifest.classes),
        )


def ratios(numerators: Numbers, denominators: Numbers) -> Doubles:
    """Return the quotients [C], with NaN for denominators that are 0 or NaN."""
    quotients = np.full(len(numerators), np.nan)
    np.divide(numerators, denominators, out=quotients, where=denominators > 0)
    return quotients


def number(value: float) -> float | None:
    """Convert to a Python float, or None for NaN, which JSON does not support."""
    return None if np.isnan(value) else float(value)


def class_scores(
    names: tuple[str, ...],
    scored: npt.NDArray[np.bool_],
    support: npt.NDArray[np.int64],
    measures: Mapping[str, Doubles],
) -> tuple[ClassScores, ...]:
    """Return the scores of each class.

    Args:
        names: the C class names.
        scored: bool [C], whether the class counts toward the means.
        support: int64 [C], pixels of the ground truth.
        measures: `iou`, `f1`, `precision` and `recall`, each [C] in [0, 1] or NaN.
    """
    return tuple(
        ClassScores(
            name=name,
            scored=bool(scored[index]),
            support=int(support[index]),
            iou=number(measures["iou"][index]),
            f1=number(measures["f1"][index]),
            precision=number(measures["precision"][index]),
            recall=number(measures["recall"][index]),
        )
        for index, name in enumerate(names)
    )


def require_truth(support: npt.NDArray[np.int64], scored: npt.NDArray[np.bool_]) -> None:
    """Check that the ground truth has a pixel of a scored class.

    Raises:
        DataError: If there is none.
    """
    if not support[scored].sum():
        raise DataError(
            "nothing to score: no pixel of the truth has a scored class",
            remedy="give the split scenes with masks; `rsmtdf data check` counts their pixels",
        )


def absent_classes(names: tuple[str, ...], absent: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """Return the names of the classes selected by `absent`, bool [C]."""
    return tuple(name for name, missing in zip(names, absent, strict=True) if missing)
