"""What a protocol makes of counted pixels: scores by class and over all."""

from rsmtdf_core.settings import Settings


class ClassScores(Settings):
    """The scores of one class; a score is None where the protocol has none.

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
    """The scores of a split under one protocol, which says which pixels and classes count.

    Attributes:
        classes: one entry a class, in the order of the class ids.
        miou: mean IoU over the scored classes; None where a public protocol comes to no number.
        mf1: mean F1 over the same classes; None alike.
        overall_accuracy: share of right pixels.
        kappa: Cohen's kappa over the same pixels; None where both are one and the same class.
        absent: scored classes that neither truth nor prediction has.
    """

    classes: tuple[ClassScores, ...]
    miou: float | None
    mf1: float | None
    overall_accuracy: float
    kappa: float | None
    absent: tuple[str, ...]

    @property
    def unscored(self) -> tuple[str, ...]:
        """Names of the classes that the means leave out, whether they occur or not."""
        return tuple(one.name for one in self.classes if not one.scored)


class ProtocolScores(Settings):
    """Scores with the rule that made them.

    Attributes:
        protocol: name of the rule.
        protocol_description: the rule in words.
        scores: what it came to.
    """

    protocol: str
    protocol_description: str
    scores: Scores
