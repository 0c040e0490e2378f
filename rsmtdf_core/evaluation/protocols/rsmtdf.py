"""`rsmtdf`, the default protocol: only pixels that can be correct or wrong are counted."""

import numpy as np
import numpy.typing as npt

from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.protocols.base import (
    Protocol,
    absent_classes,
    class_scores,
    ratios,
    require_truth,
)
from rsmtdf_core.evaluation.scores import Scores
from rsmtdf_core.scenes.manifest import Manifest


def _score(counts: PixelCounts, manifest: Manifest) -> Scores:
    matrix, names = counts.matrix, manifest.class_names
    scored = np.array([name not in manifest.unscored for name in names])
    right, truth, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    require_truth(truth, scored)
    iou = ratios(right, truth + predicted - right)
    f1 = ratios(2 * right, truth + predicted)
    occurs = truth + predicted > 0
    averaged = scored & occurs
    measures = {
        "iou": iou,
        "f1": f1,
        "precision": ratios(right, predicted),
        "recall": ratios(right, truth),
    }
    return Scores(
        classes=class_scores(names, scored, truth, measures),
        miou=float(iou[averaged].mean()),
        mf1=float(f1[averaged].mean()),
        overall_accuracy=float(right[scored].sum() / truth[scored].sum()),
        kappa=_kappa(matrix * scored[:, None]),
        absent=absent_classes(names, scored & ~occurs),
    )


def _kappa(matrix: npt.NDArray[np.int64]) -> float | None:
    """Return Cohen's kappa (p_o - p_e) / (1 - p_e), the agreement beyond chance as given by the marginals."""
    shares = matrix / matrix.sum()
    by_chance = float(shares.sum(axis=0) @ shares.sum(axis=1))
    if by_chance >= 1.0:
        return None
    return (float(shares.trace()) - by_chance) / (1.0 - by_chance)


RSMTDF = Protocol(
    "rsmtdf",
    "One confusion matrix over all scenes, without pixels whose truth is ignored. IoU and F1 per class over the full "
    "matrix; their means exclude unscored classes and classes that are absent from truth and prediction. Overall "
    "accuracy and kappa over pixels whose truth is scored.",
    _score,
)
