"""Scores that a protocol computes from pixel counts, by class and overall (tests: protocols/test_rsmtdf.py)."""

from collections.abc import Sequence

from rsmtdf_core.settings import Settings


class ClassScores(Settings):
    """The scores of a class; a score is None if the protocol does not define it.

    Attributes:
        name: the class name.
        scored: whether the class counts toward the means.
        iou: TP / (TP + FP + FN), in [0, 1].
        f1: 2 TP / (2 TP + FP + FN), in [0, 1].
        precision: TP / (TP + FP), in [0, 1].
        recall: TP / (TP + FN), in [0, 1].
        support: number of pixels in the truth.
    """

    name: str
    scored: bool
    iou: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    support: int


class Scores(Settings):
    """The scores of a split under a protocol, which defines the pixels and classes that count.

    Attributes:
        classes: one entry per class, in the order of the class ids.
        miou: mean IoU over the scored classes; None if undefined, as in some public protocols.
        mf1: mean F1 over the same classes; None if undefined.
        overall_accuracy: share of correct pixels.
        kappa: Cohen's kappa over the same pixels; None if truth and prediction are the same single class.
        absent: scored classes that occur in neither truth nor prediction.
    """

    classes: tuple[ClassScores, ...]
    miou: float | None
    mf1: float | None
    overall_accuracy: float
    kappa: float | None
    absent: tuple[str, ...]

    @property
    def unscored(self) -> tuple[str, ...]:
        """Names of the classes excluded from the means, whether or not they occur."""
        return tuple(row.name for row in self.classes if not row.scored)


class SceneScores(Settings):
    """The scores of a scene by the main protocol; None if no pixel of its truth has a scored class.

    Attributes:
        scene: the scene's id.
        pixels: number of labeled pixels.
        wrong: number of labeled pixels with another class than the truth.
        miou: mean IoU over the scored classes.
        overall_accuracy: share of correct pixels.
        iou: IoU of each class, in the order of the class ids.
    """

    scene: str
    pixels: int
    wrong: int
    miou: float | None
    overall_accuracy: float | None
    iou: tuple[float | None, ...]

    @property
    def error(self) -> float:
        """Share of wrong pixels among the labeled pixels, in [0, 1]; 0 without labeled pixels."""
        return self.wrong / self.pixels if self.pixels else 0.0


def worst_scenes(scores: Sequence[SceneScores], count: int) -> list[SceneScores]:
    """Return at most `count` scenes with errors, by the share of wrong pixels from the largest."""
    ranked = sorted(scores, key=lambda scene: (-scene.error, scene.scene))
    return [scene for scene in ranked if scene.wrong][:count]


class ProtocolScores(Settings):
    """Scores and the protocol that computed them.

    Attributes:
        protocol: name of the protocol.
        protocol_description: the rule of the protocol in words.
        scores: the scores under this protocol.
        crops: the scored images in words: their number, sizes and padding; empty in reports of earlier versions.
    """

    protocol: str
    protocol_description: str
    scores: Scores
    crops: str = ""
