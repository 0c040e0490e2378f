"""`dwl`: scores as computed by the code of DWL, zhu-xlab/RS-DWL, faults included.

The paper is "Decouple and weight semi-supervised semantic segmentation of remote sensing images" (Huang et al., ISPRS
Journal 2024). The rule follows its `test.py`, `utils/metric.py` and `options/test_options.py` at commit 98c2bea.

There is one confusion matrix over all pixels whose ground truth is a class id. IoU and F1 in percent are rounded to two
digits. Their means exclude one class, clutter of Potsdam or unknown of DeepGlobe (the manifest's unscored classes).
Accuracy and kappa include that class; kappa is rounded to four digits. A mean over NaN is NaN: there is no mean F1 if a
scored class has no correct pixel, and no mean IoU if a scored class is absent.

For LoveDA, the code reads raw masks, in which no-data is class 0 of 8, and excludes this class. So predictions on
ignored pixels are errors of the predicted class (`protocols.dwl_counts_ignored` in the manifest). A model of 7 classes
never predicts the eighth.

The code scores the crops that its `dataloader/*_crop_split.py` cut, padded as for the protocol `official`.
"""

import numpy as np

from rsmtdf_core.arrays import Doubles
from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.protocols.base import (
    Protocol,
    absent_classes,
    class_scores,
    number,
    ratios,
    require_truth,
)
from rsmtdf_core.evaluation.scores import Scores
from rsmtdf_core.scenes.manifest import Manifest


def _score(counts: PixelCounts, manifest: Manifest) -> Scores:
    matrix, names = counts.matrix, manifest.class_names
    scored = np.array([name not in manifest.unscored for name in names])
    right, truth = matrix.diagonal(), matrix.sum(axis=1)
    require_truth(truth, scored)
    ignored = counts.ignored if manifest.protocols.dwl_counts_ignored else 0 * counts.ignored
    predicted = matrix.sum(axis=0) + ignored
    union = truth + predicted - right
    precision, recall = ratios(right, predicted), ratios(right, truth)
    iou = _percent(ratios(right, union))
    f1 = _percent(ratios(2 * precision * recall, precision + recall))
    total = float(predicted.sum())
    agreement = float(right.sum()) / total
    chance = float((predicted / total) @ (truth / total))
    measures = {"iou": iou, "f1": f1, "precision": precision, "recall": recall}
    return Scores(
        classes=class_scores(names, scored, truth, measures),
        miou=number(iou[scored].mean()),
        mf1=number(f1[scored].mean()),
        overall_accuracy=agreement,
        kappa=None if chance >= 1 else round((agreement - chance) / (1 - chance), 4),
        absent=absent_classes(names, scored & (union == 0)),
    )


def _percent(shares: Doubles) -> Doubles:
    """Round shares in [0, 1] to two digits of a percent, as in the tables of the code."""
    return np.around(100 * shares, 2) / 100


DWL = Protocol(
    "dwl",
    "As computed by the code of DWL (zhu-xlab/RS-DWL), faults included. IoU and F1 over the full matrix, rounded "
    "to 0.01 %; their means exclude unscored classes. There is no mean F1 if a scored class has no correct pixel, "
    "and no mean IoU if a scored class is absent. Accuracy and kappa include unscored classes. Predictions on "
    "ignored pixels are not counted, except for LoveDA, whose no-data is a class in this code: there they count as "
    "errors in IoU, F1, accuracy and kappa. Windows at the border of an image are padded to full size as the "
    "published crops are, and their padding has a class.",
    _score,
    padded=True,
)
