"""`official`: scores as computed by the evaluation scripts of earth-insights/RS-MTDF, faults included.

The rule follows `eval/eval_loveda.py`, `eval_Potsdam.py` and `eval_deepglobe.py` of June 2025. The three scripts
share one rule. They differ in the class that they convert to ignored pixels before counting: none for LoveDA, unknown
for DeepGlobe, and class 0 for Potsdam. The latter is impervious surfaces, so clutter is scored instead. The manifest
names the class (`protocols.official_ignores`); by default these are its unscored classes.

IoU excludes predictions on ignored pixels. Precision, and therefore F1 and kappa, includes them. The script of
DeepGlobe reads the config of Potsdam with 6 classes, which a checkpoint of 7 classes does not fit; here it has 7.

The scripts score the crops of RS-DWL. Those at the right and bottom border of a tile are padded to 512 px with black,
which has a class too (`protocols.padding` in the manifest), so windows of tiles are padded in the same way.
"""

import numpy as np

from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.protocols.base import (
    Protocol,
    absent_classes,
    class_scores,
    require_truth,
)
from rsmtdf_core.evaluation.scores import Scores
from rsmtdf_core.scenes.manifest import Manifest

_TINY = 1e-10  # the scripts add it to each denominator


def _score(counts: PixelCounts, manifest: Manifest) -> Scores:
    names, ignores = manifest.class_names, manifest.protocols.official_ignores
    dropped = manifest.unscored if ignores is None else ignores
    kept = np.array([name not in dropped for name in names])
    matrix = counts.matrix * kept[:, None]
    right, truth = matrix.diagonal(), matrix.sum(axis=1)
    require_truth(truth, kept)
    union = truth + matrix.sum(axis=0) - right
    precision = right / (counts.predicted + _TINY)
    recall = right / (truth + _TINY)
    iou = right / (union + _TINY)
    f1 = 2 * precision * recall / (precision + recall + _TINY)
    # In floats: the scripts' integers would overflow beyond 3e9 pixels.
    total, predicted = float(truth.sum()), counts.predicted[kept].astype(float)
    agreement = float(right.sum()) / (total + _TINY)
    chance = float(predicted @ truth[kept]) / (total**2 + _TINY)
    measures = {"iou": iou, "f1": f1, "precision": precision, "recall": recall}
    shown = {name: np.where(kept, values, np.nan) for name, values in measures.items()}
    return Scores(
        classes=class_scores(names, kept, truth, shown),
        miou=float(iou[kept].mean()),
        mf1=float(f1[kept].mean()),
        overall_accuracy=agreement,
        kappa=(agreement - chance) / (1 - chance + _TINY),
        absent=absent_classes(names, kept & (union == 0)),
    )


OFFICIAL = Protocol(
    "official",
    "As computed by the official evaluation scripts, faults included. Classes that the dataset's script drops are "
    "ignored in the truth (Potsdam: class 0, so that clutter is scored; DeepGlobe: unknown, with 7 classes "
    "although the script loads 6). IoU excludes predictions on ignored pixels; precision, F1 and kappa include "
    "them. Absent classes count as 0 in both means. Windows at the border of an image are padded to full size as the "
    "published crops are, and their padding has a class.",
    _score,
    padded=True,
)
