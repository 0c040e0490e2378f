"""The protocol: one exact rule that turns predictions into scores.

Public code disagrees on ignored pixels and on classes that do not occur, by whole points of mIoU.
This module has one rule, `PROTOCOL`, and each report carries its name and description.
"""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import DataError
from rsmtdf_core.settings import Settings

PROTOCOL = "rsmtdf"
PROTOCOL_DESCRIPTION = (
    "One confusion matrix over all scenes. Pixels whose truth is ignored count nowhere. IoU and F1 "
    "per class over the full matrix; their means skip unscored classes and classes that neither "
    "truth nor prediction has. Overall accuracy and kappa over pixels whose truth is scored."
)


class ClassScores(Settings):
    """The scores of one class; a score is None where it would divide by 0.

    Attributes:
        name: the class name.
        scored: whether the means take it in.
        iou: TP / (TP + FP + FN), in [0, 1].
        f1: 2 TP / (2 TP + FP + FN), in [0, 1].
        precision: TP / (TP + FP), in [0, 1].
        recall: TP / (TP + FN), in [0, 1].
        support: pixels of the truth.
    """

    name: str
    scored: bool
    iou: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    support: int


class Scores(Settings):
    """The scores of a split under `PROTOCOL`.

    Attributes:
        classes: one entry a class, in the order of the class ids.
        miou: mean IoU over scored classes that occur in truth or prediction.
        mf1: mean F1 over the same classes.
        overall_accuracy: share of right pixels among those whose truth is a scored class.
        kappa: Cohen's kappa over the same pixels; None where both are one and the same class.
        absent: scored classes that neither truth nor prediction has; the means skip them.
    """

    classes: tuple[ClassScores, ...]
    miou: float
    mf1: float
    overall_accuracy: float
    kappa: float | None
    absent: tuple[str, ...]


class Confusion:
    """A confusion matrix that grows scene by scene.

    Args:
        classes: number of classes C; ids are 0..C-1.
        ignore_id: pixels whose truth has this id count neither as truth nor as prediction.
    """

    def __init__(self, classes: int, ignore_id: int = 255) -> None:
        self._classes = classes
        self._ignore_id = ignore_id
        self._matrix = np.zeros((classes, classes), dtype=np.int64)

    def add(self, truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8]) -> None:
        """Count one scene: class ids [H, W] of the truth and of the prediction."""
        import torch
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        assert truth.shape == prediction.shape, f"{truth.shape} is not {prediction.shape}"
        assert prediction.size == 0 or prediction.max() < self._classes, "a prediction has no class"
        counts = multiclass_confusion_matrix(
            # int64, as the pair of ids C * truth + prediction does not fit into a byte
            torch.from_numpy(prediction.astype(np.int64)),
            torch.from_numpy(truth.astype(np.int64)),
            num_classes=self._classes,
            ignore_index=self._ignore_id,
            validate_args=False,  # would sort every scene's pixels; the reader has checked the ids
        )
        self._matrix += counts.numpy()

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """Pixel counts int64 [C, C]: a row for each true class, a column for each predicted one."""
        return self._matrix.copy()


def scores(
    matrix: npt.NDArray[np.int64], class_names: Sequence[str], unscored: Collection[str] = ()
) -> Scores:
    """The scores of a confusion matrix.

    Args:
        matrix: pixel counts int64 [C, C], rows are the truth.
        class_names: the C names, in the order of the class ids.
        unscored: names of classes that are predicted and shown, but left out of every mean.

    Raises:
        DataError: if no pixel of the truth has a scored class.
    """
    assert matrix.shape == (len(class_names), len(class_names)), f"shape {matrix.shape}"
    scored = np.array([name not in unscored for name in class_names])
    if not matrix[scored].sum():
        raise DataError(
            "nothing to score: no pixel of the truth has a scored class",
            remedy="give the split scenes with masks; `rsmtdf data check` counts their pixels",
        )
    right, truth, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    iou = _ratios(right, truth + predicted - right)
    f1 = _ratios(2 * right, truth + predicted)
    occurs = truth + predicted > 0
    averaged = scored & occurs
    columns = (iou, f1, _ratios(right, predicted), _ratios(right, truth))
    return Scores(
        classes=tuple(
            ClassScores(
                name=name,
                scored=bool(scored[index]),
                support=int(truth[index]),
                **{
                    key: None if np.isnan(column[index]) else float(column[index])
                    for key, column in zip(
                        ("iou", "f1", "precision", "recall"), columns, strict=True
                    )
                },
            )
            for index, name in enumerate(class_names)
        ),
        miou=float(iou[averaged].mean()),
        mf1=float(f1[averaged].mean()),
        overall_accuracy=float(right[scored].sum() / truth[scored].sum()),
        kappa=_kappa(matrix * scored[:, None]),
        absent=tuple(np.array(class_names)[scored & ~occurs].tolist()),
    )


def _ratios(
    numerators: npt.NDArray[np.int64], denominators: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Quotients, NaN where the denominator is 0."""
    quotients = np.full(len(numerators), np.nan)
    np.divide(numerators, denominators, out=quotients, where=denominators > 0)
    return quotients


def _kappa(matrix: npt.NDArray[np.int64]) -> float | None:
    """Cohen's kappa (p_o - p_e) / (1 - p_e): agreement beyond what the marginals give by chance."""
    shares = matrix / matrix.sum()
    by_chance = float(shares.sum(axis=0) @ shares.sum(axis=1))
    if by_chance >= 1.0:
        return None
    return (float(shares.trace()) - by_chance) / (1.0 - by_chance)
