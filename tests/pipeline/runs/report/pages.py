"""Pages of made-up runs, without a training."""

from pathlib import Path
from types import SimpleNamespace

from pipeline.config import load_config
from pipeline.runs.compare.scoring import ScoredRun
from pipeline.runs.compare.values import Comparison, GroupScores, MeanStd, RunScore
from pipeline.runs.report import StoreCost
from pipeline.runs.report.chain import Link
from pipeline.runs.report.data import PageData
from pipeline.runs.report.group import PageGroup
from pipeline.runs.report.swipe import Panel, PanelPicture
from pipeline.suggestions import Suggestion
from rsmtdf_core.evaluation.reliability import Reliability, ReliabilityBin
from rsmtdf_core.evaluation.report import EvaluationReport
from rsmtdf_core.evaluation.scores import ClassScores, ProtocolScores, SceneScores, Scores
from rsmtdf_core.evaluation.settings import InferenceSettings

PLACE = Path("runs/a")
CONFIG = load_config("demo")
BINS = (ReliabilityBin(pixels=6, confidence=0.9, accuracy=0.8),)


def page_of(name: str) -> PageData:
    """Two groups whose every text from outside is `name`."""
    spread, classes = MeanStd(mean=0.5, std=0.1, runs=2), (f"{name} 1", f"{name} 2")
    run = RunScore(
        run=name,
        path=Path("runs/a"),
        seed=0,
        status=name,
        steps=1,
        miou=0.5,
        overall_accuracy=None,
        best_steps=1,
        classes=dict.fromkeys(classes, 0.5),
    )
    scores = GroupScores(
        label=name,
        settings={},
        random_teachers=(name,),
        runs=(run, run),
        miou=spread,
        overall_accuracy=None,
        classes=dict.fromkeys(classes, spread),
    )
    each = [
        ClassScores(name=c, scored=True, iou=0.5, f1=0.5, precision=1, recall=1, support=3)
        for c in classes
    ]
    rule = {
        "scores": Scores(
            classes=each, miou=0.5, mf1=0.5, overall_accuracy=1, kappa=None, absent=()
        ),
        "protocol_description": name,
    }
    result = EvaluationReport(
        **rule,
        protocol=f"{name} a",
        others=(ProtocolScores(**rule, protocol=f"{name} b"),),
        run=name,
        dataset=name,
        split="test",
        weights="ema",
        parent="",
        inference=InferenceSettings(),
        images=1,
        confusion=((3, 0), (1, 2)),
        notes=(name,),
        scenes=(
            SceneScores(
                scene=name, pixels=6, wrong=1, miou=0.5, overall_accuracy=0.5, iou=(0.5, 0.5)
            ),
        ),
        interval=(0.4, 0.6),
        reliability=(Reliability(temperature=1, ece=0.1, bins=BINS),),
    )
    specs = [SimpleNamespace(name=c, color="#FF0000") for c in classes]
    record = SimpleNamespace(
        manifest=SimpleNamespace(
            title=name,
            classes=specs,
            class_names=classes,
            unscored=classes[:1],
            labeled=None,
            model_dump=lambda **_: {},
        ),
        config=CONFIG,
        facts={},
        folder=SimpleNamespace(
            imported=False, origin=None, path=PLACE, config=PLACE, suggestions=PLACE
        ),
        lines=[{"step": 0, f"loss {name}": 1.0, "seconds": {"step": 1.0}}],
        steps=1,
        distils=True,
        random_teachers=(name,),
        validations=(),
    )
    link = Link(step="store", name=name, fingerprint="ab", facts=(name,), caution=name)
    scored = ScoredRun(record, run, result, f"{name} a")
    costs = [StoreCost(key=name, teacher=name, codec=name, state=state) for state in (name, "gone")]
    return PageData(
        comparison=Comparison(
            dataset=name, measure=name, groups=(scores, scores), warnings=(name,)
        ),
        groups=(PageGroup(scores, (scored, scored)),) * 2,
        split="test",
        chains={name: (link,)},
        costs=tuple(costs),
        suggestions=(
            Suggestion(rank=1, scene=name, image=name, has_mask=False, distance=1.0, nearest=name),
        ),
        panels=(Panel(name, (2, 2), (PanelPicture(name, name, "data:,"),)),),
        no_panels="",
    )
