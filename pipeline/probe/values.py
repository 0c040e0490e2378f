"""The report of a probe."""

from typing import Literal

from rsmtdf_core.settings import Settings

FeatureKind = Literal["teacher", "pair", "student", "random student", "trained student"]
Origin = Literal["cache", "computed"]


class FeatureScore(Settings):
    """The score of a linear head on features.

    Attributes:
        name: name of the features in tables.
        kind: whose features they are.
        teachers: names of the teachers; empty for a student.
        channels: number of channels.
        random_weights: whether a model of these features has random weights.
        origin: whether tokens were read from the cache or computed by the model now.
        seconds: time of the models per view: measured now, or by the extraction for tokens in the cache; None if
            unknown.
        bytes: size of the records of a view in the store; None for a student.
        miou: mean IoU over all held-out views, protocol `rsmtdf`, 0..1.
        overall_accuracy: share of correct labeled pixels, 0..1.
        iou: IoU by class; None for a class that neither truth nor prediction has.
        fold_miou: mean IoU of each fold; None for a fold without scored pixels.
        over_student: mean difference of `fold_miou` to the student's initial features; None without them.
        margin: half-width of the 95 % interval of that difference.
        wins: number of folds in which these features are better than the student's.
    """

    name: str
    kind: FeatureKind
    teachers: tuple[str, ...] = ()
    channels: int
    random_weights: bool = False
    origin: Origin = "computed"
    seconds: float | None = None
    bytes: float | None = None
    miou: float
    overall_accuracy: float
    iou: dict[str, float | None]
    fold_miou: tuple[float | None, ...]
    over_student: float | None = None
    margin: float | None = None
    wins: int | None = None


class Kept(Settings):
    """How similar a student's features are to a teacher's tokens.

    Attributes:
        teacher: name of the teacher.
        student: `trained student` or `student` (its initial features).
        cka: linear CKA between the student's last tap and the tokens, 0..1.
        explained_variance: share of the tokens' variance that the translated tokens explain, at most 1; None if the
            student does not translate to this teacher.
    """

    teacher: str
    student: FeatureKind
    cka: float
    explained_variance: float | None = None


class ProbeReport(Settings):
    """The result of a probe.

    Attributes:
        config: name of the config.
        run: folder of the run; None if a config was probed.
        split: split of the views.
        device: device of the models.
        grid: rows and columns of the common grid of all features.
        views: number of views in the sample.
        folds: ids of the scenes in each fold.
        plan_views: number of views that `extract-features` computes for the config.
        features: a score for each teacher, each pair of teachers and each student.
        kept: similarities of students to teachers; empty if a config was probed.
        worth_caching: names of the teachers that the probe recommends to cache; None for a run.
        verdict: the conclusion, a sentence each.
        cautions: limits of the conclusion, a sentence each.
        seconds: wall time.
    """

    config: str
    run: str | None = None
    split: str
    device: str
    grid: tuple[int, int]
    views: int
    folds: tuple[tuple[str, ...], ...]
    plan_views: int
    features: tuple[FeatureScore, ...]
    kept: tuple[Kept, ...] = ()
    worth_caching: tuple[str, ...] | None = None
    verdict: tuple[str, ...]
    cautions: tuple[str, ...] = ()
    seconds: float
