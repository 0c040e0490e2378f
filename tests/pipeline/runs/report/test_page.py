"""Names from outside are text on the page, wherever they are on it."""

from pathlib import Path
from types import SimpleNamespace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.runs.compare.scoring import ScoredRun
from pipeline.runs.compare.values import Comparison, GroupScores, MeanStd, RunScore
from pipeline.runs.report import StoreCost
from pipeline.runs.report.chain import Link
from pipeline.runs.report.data import PageData, PageGroup
from pipeline.runs.report.page import render
from pipeline.runs.report.swipe import Panel, PanelPicture
from rsmtdf_core.evaluation.report import EvaluationReport
from rsmtdf_core.evaluation.scores import ClassScores, ProtocolScores, Scores
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.words import printable
from tests.pipeline.runs.report.parsed_page import Page


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
    )
    specs = [SimpleNamespace(name=c, color="#FF0000") for c in classes]
    config = SimpleNamespace(seed=0, method=SimpleNamespace(losses={f"loss {name}": name}))
    config.phases = (config,)
    record = SimpleNamespace(
        manifest=SimpleNamespace(title=name, classes=specs, unscored=classes[:1]),
        config=config,
        lines=[{"step": 0, f"loss {name}": 1.0}],
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
        panels=(Panel(name, (2, 2), (PanelPicture(name, "data:,"),)),),
        no_panels="",
    )


@settings(max_examples=15)
@given(name=st.text(min_size=1))
@example(name="</title></style></script><script>alert(1)</script>{{ page }}{% raw %}")
def test_every_name_of_the_data_is_text_on_the_page(name):
    """A page with one name everywhere has the elements of a page with a plain one."""
    plain, hostile = Page(render(page_of("plain"))), Page(render(page_of(name)))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert [sorted(attributes) for _, attributes in hostile.tags] == [
        sorted(attributes) for _, attributes in plain.tags
    ]
    count = sum(text.count("plain") for text in plain.texts)
    assert count > 20
    assert sum(text.count(printable(name)) for text in hostile.texts) >= count
