"""The answers have the numbers of the runs, and name commands that exist."""

import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from pipeline.config import load_config
from pipeline.runs.compare.values import MeanStd
from pipeline.runs.report import StoreCost
from pipeline.runs.report.answers import Answer, answers
from pipeline.runs.report.data import PageData
from pipeline.runs.report.ground import Ground
from pipeline.runs.report.group import PageGroup
from tests.pipeline.runs.report.pages import page_of


def group(label="a", method="rs-mtdf", mean=0.5, std=None, seeds=1, **facts) -> PageGroup:
    """Runs of a method: `facts` are those of the record, or of the report (`confusion`, `interval`)."""
    original = page_of("x").groups[0]
    run = original.runs[0]
    reported = {key: facts.pop(key) for key in ("confusion", "interval") if key in facts}
    config = load_config("demo", [f"objective.method={method}"])
    changes = {"config": config, "distils": method == "rs-mtdf", **facts}
    record = SimpleNamespace(**vars(run.record) | changes)
    report = run.report.model_copy(update=reported)
    runs = tuple(
        replace(run, record=record, report=report, score=run.score.model_copy(update={"seed": n}))
        for n in range(seeds)
    )
    miou = MeanStd(mean=mean, std=std, runs=seeds)
    scores = original.scores.model_copy(
        update={
            "label": label,
            "random_teachers": (),
            "runs": tuple(run.score for run in runs),
            "miou": miou,
        }
    )
    return PageGroup(scores, runs)


def page(*groups: PageGroup, **changes) -> PageData:
    full = page_of("x")
    comparison = full.comparison.model_copy(
        update={"groups": tuple(group.scores for group in groups)}
    )
    plain = {"costs": (), "suggestions": (), "comparison": comparison}
    return replace(full, groups=groups, **plain | changes)


def answer(number: int, *groups: PageGroup, **changes) -> Answer:
    return answers(page(*groups, **changes))[number]


def text(number: int, *groups: PageGroup, **changes) -> str:
    return " ".join(answer(number, *groups, **changes).sentences)


def test_quality_names_the_best_group_its_spread_and_its_interval():
    groups = group("low", mean=0.4), group("high", mean=0.6, std=0.02, seeds=3, interval=(0.5, 0.7))
    said = text(0, *groups)
    assert "The best of 2 groups, high, has a mean IoU of 60.00 ± 2.00 %" in said
    assert "95 % interval of seed 0 over the choice of scenes is 50.0 % to 70.0 %" in said
    assert "over 3 seeds" in said
    assert "spread over seeds is unknown" in text(0, group())
    assert answer(0, *groups).short == "mIoU 60.00 ± 2.00 %"


@settings(max_examples=20)
@given(st.lists(st.integers(0, 50), min_size=4, max_size=4))
def test_the_dominant_errors_are_those_of_the_confusion_matrix(cells):
    confusion = ((cells[0], cells[1]), (cells[2], cells[3]))
    said = text(0, group(confusion=confusion))
    wrong = np.array([cells[1], cells[2]])
    if not wrong.any():
        assert "wrong" not in said
        return
    first = f"{100 * wrong.max() / wrong.sum():.1f} %"
    pairs = ["x 1 predicted as x 2", "x 2 predicted as x 1"]
    assert f"Of the wrong pixels, {first} are {pairs[int(wrong.argmax())]}" in said
    assert (pairs[int(wrong.argmin())] in said) == (wrong.min() >= 0.05 * wrong.sum()) or (
        wrong[0] == wrong[1]
    )


def test_a_run_without_validation_has_a_sentence_on_it():
    assert "after the last step was scored" in text(0, group(validations=()))
    assert "after the last step" not in text(0, group(validations=("one",)))


@pytest.mark.parametrize(
    ("ground", "sentence"),
    [
        (None, "the page does not compare the areas"),
        (Ground(None, 9, 1, True), "1 of 1 test scene share their tile or image"),
        (Ground(None, 9, 0, True), "The areas are separate"),
        (Ground(None, 9, 0, False), "neighboring images may be in both splits"),
        (Ground(2.5e6, 9, 0, False, 1, 0.0), "1 of 1 test scene overlap a training scene"),
        (Ground(None, 9, 0, True, blocks="blocks of 500 m"), "is drawn by blocks of 500 m."),
        (Ground(2.5e6, 9, 0, False, 0, 1230.0), "the smallest distance is 1.23 km"),
        (Ground(2.5e6, 9, 0, True, 0, 12.3), "the smallest distance is 12 m"),
    ],
)
def test_data_say_whether_the_areas_are_separate(ground, sentence):
    said = text(1, group(), ground=ground)
    assert sentence in said
    if ground is not None:
        assert "The training split has 9 scenes." in said
        assert ("2.5 km\N{SUPERSCRIPT TWO}" in said) == (ground.area is not None)


def test_an_imported_model_has_the_notes_of_its_import():
    folder = SimpleNamespace(
        **vars(page_of("x").groups[0].runs[0].record.folder) | {"imported": True}
    )
    folder.splits = SimpleNamespace(exists=lambda: False)
    imported = group(folder=folder)
    assert text(1, imported).endswith(" X.")
    assert "The training was not recorded" in text(4, imported)
    assert "single training" not in text(0, imported)
    assert "published" not in text(2, imported)


def test_comparison_weighs_differences_against_the_spread_over_seeds():
    far, near, single = (
        text(2, group("a", mean=0.6, std=0.01, seeds=4), group("b", mean=mean, std=std, seeds=4))
        for mean, std in ((0.5, 0.01), (0.59, 0.01), (0.5, None))
    )
    assert "b has a mean IoU of 50.00 ± 1.00 %, 10.00 points less, more than the seeds" in far
    assert "which the spread over seeds may explain" in near
    assert "chance alone may explain" in single


def test_a_missing_baseline_is_named_with_its_commands():
    alone = answer(2, group())
    assert alone.short == "no other run"
    assert "the gain from unlabeled scenes and teachers is unknown" in " ".join(alone.sentences)
    assert "objective.method=supervised" in alone.commands[0]
    both = answer(2, group(), group("s", method="supervised", mean=0.3))
    assert both.commands == ()
    only_labels = answer(2, group(method="supervised"))
    assert [command.split()[1] for command in only_labels.commands] == [
        "extract-features",
        "train",
        "evaluate",
        "report",
    ]
    assert "objective.method=rs-mtdf" in only_labels.commands[1]


def test_the_baseline_of_a_distilled_run_with_its_method_is_another_run_without_distillation():
    distilled = answer(2, group(method="supervised", distils=True))
    train, evaluate = distilled.commands[:2]
    assert "objective.pretrain={}" in train
    assert shlex.split(train)[-1] == shlex.split(evaluate)[2]
    assert Path(shlex.split(train)[-1]).name == "demo-labels-seed0"


def test_a_benchmark_can_be_compared_with_the_published_method():
    full = page(group())
    published = full.comparison.model_copy(update={"dataset": "potsdam-official-1"})
    commands = answer(2, group(), comparison=published).commands
    assert commands[-1] == "rsmtdf import-official CHECKPOINT --dataset potsdam-official-1"
    assert "no published scores" in text(2, group())


def test_each_command_exists():
    commands = [
        command
        for groups in ((group(),), (group(method="supervised"),))
        for answer in answers(page(*groups))
        for command in answer.commands
    ]
    assert len(commands) > 6
    for command in commands:
        program, verb, *words = shlex.split(command)
        assert program == "rsmtdf"
        shown = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0, command
        assert all(word in shown.output for word in words if word.startswith("--")), command


def test_labeling_lists_suggestions_or_the_command_for_them():
    suggestions = page_of("x").suggestions
    assert answer(3, group(), suggestions=suggestions).short == "x"
    assert answer(3, group(), suggestions=suggestions).commands == ()
    assert "random" in text(3, group(), suggestions=suggestions)
    assert "random" not in text(3, group(random_teachers=()), suggestions=suggestions)
    without = answer(3, group())
    assert without.commands == ("rsmtdf suggest runs/a --out runs/a",)
    assert "x (16.7 % of its pixels)" in " ".join(without.sentences)


def test_cost_adds_up_trainings_and_teachers():
    lines = [
        {"step": 0, "interval": 1, "seconds": {"step": 4.0}},
        {"step": 9, "interval": 9, "seconds": {"step": 2.0}},
    ]
    store = StoreCost(
        key="g/s", teacher="t", codec="fp16", state="committed", bytes=2**30, seconds=110.0
    )
    pixels = store.model_copy(update={"holds": "pixels", "seconds": 99.0})
    run = group(steps=50, lines=lines)
    said = text(4, run, costs=(store, pixels))
    # (4 + 9 * 2) / 10 = 2.2 s each.
    assert "The training took about 110.0 s for 50 steps, 2.2 s each" in said
    assert "The teachers took 110.0 s, 50.0 % of the total" in said
    assert "2 stores take 2.0 GiB" in said
    assert answer(4, run, costs=(store, pixels)).short == "3.7 min"
    gone = store.model_copy(update={"state": "gone", "seconds": 0.0})
    assert "the time of their teachers is unknown" in text(4, run, costs=(gone,))
    assert "were not recorded" in text(4, group(lines=[]))
