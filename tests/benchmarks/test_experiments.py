"""Experiments repeat no run, mix no settings, and average over seeds."""

import json
import statistics
import sys
from argparse import Namespace
from importlib import import_module
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rsmtdf_core.scenes.manifest import load_manifest


@pytest.fixture(scope="module", autouse=True)
def _scripts():
    """Scripts import their neighbors by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield


@pytest.fixture(scope="module")
def teachers() -> ModuleType:
    return import_module("experiment_teachers")


@pytest.fixture(scope="module")
def results() -> ModuleType:
    return import_module("experiment_results")


@pytest.fixture(scope="module")
def dubai() -> ModuleType:
    return import_module("experiment_dubai")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine images with masks, and three without."""
    root = tmp_path_factory.mktemp("data")
    for kind, names in (("images", range(9)), ("masks", range(9)), ("unlabeled", range(9, 12))):
        (root / kind).mkdir()
        for name in names:
            Image.fromarray(np.full((8, 8), 255 * (name % 2), np.uint8)).save(
                root / kind / f"{name}.png"
            )
    return root


@pytest.fixture
def held_out(teachers, monkeypatch):
    monkeypatch.setattr(teachers, "HELD_OUT", (2, 3))


ARM = {
    "student": "random",
    "labels": 4,
    "arm": "rs-mtdf",
    "views": "8",
    "codec": "fp16",
    "steps": 20,
}
OTHERS = {
    "student": "lite0",
    "labels": 5,
    "arm": "distill, rs-mtdf",
    "views": "4",
    "codec": "int8",
    "steps": 21,
}
DATA = ("synthetic", Path("data"), 10, 30)


def key(teachers, *, seed=0, crop=128, weights="weights", out="out", data=DATA, **changed):
    arm = teachers.Arm("synthetic", **{**ARM, **changed})
    options = Namespace(crop=crop, weights=Path(weights), out=Path(out))
    config = teachers.config_of(arm, seed, teachers.Data(*data), options)
    return teachers.key_of(config, options.weights)


def test_every_deciding_setting_changes_the_key(teachers, monkeypatch):
    keys = {"": key(teachers), "seed": key(teachers, seed=1), "crop": key(teachers, crop=160)}
    keys |= {name: key(teachers, **{name: value}) for name, value in OTHERS.items()}
    for section, name, value in (
        ("views", "vertical_flip", 0.0),
        ("student", "translator_hidden", 256),
        ("optimiser", "ema", 0.9),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(teachers.CONFIG, section, {**teachers.CONFIG[section], name: value})
            keys[name] = key(teachers)
    for one, other in combinations(keys, 2):
        assert keys[one] != keys[other], (one, other)


def test_places_and_speed_do_not_change_the_key(teachers, monkeypatch):
    expected = key(teachers)
    assert key(teachers, out="elsewhere") == expected
    assert key(teachers, weights="/moved/weights") == expected
    assert key(teachers, data=("synthetic", Path("/moved/data"), 10, 30)) == expected
    monkeypatch.setitem(teachers.CONFIG, "runtime", {"workers": 1, "extract_workers": 2})
    assert key(teachers) == expected


def test_arms_have_different_keys(teachers):
    keys = {key(teachers, arm=name) for name in teachers.ARMS}
    assert len(keys) == len(teachers.ARMS)


@pytest.fixture
def run(teachers, folder, tmp_path, monkeypatch, held_out):
    """Runs the script with further options, and returns the arms and seeds that it trains."""
    file = tmp_path / "results.jsonl"

    def run(*options):
        trained = []

        def score(config, _folder):
            trained.append((config.objective.method, config.seed))
            return {"run_steps": 1, "miou": 0.5, "seconds": 1.0, "records": 0}

        words = [folder, tmp_path, tmp_path, "--results", file, "--labels", 3, "--seeds", 0, 1]
        words += ["--arms", "supervised", "fixmatch", *options]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["experiment", *map(str, words)])
            patch.setattr(teachers, "score", score)
            patch.setattr(teachers, "extract", lambda *_arguments: None)
            patch.setattr(teachers, "write_report", lambda *_arguments: None)
            teachers.main()
        return trained

    return run


ALL = [("supervised", 0), ("fixmatch", 0), ("supervised", 1), ("fixmatch", 1)]


def test_a_finished_run_does_not_run_again(run, tmp_path):
    assert run() == ALL
    written = (tmp_path / "results.jsonl").read_text()
    assert run() == []
    assert (tmp_path / "results.jsonl").read_text() == written
    assert run("--steps", "500") == ALL
    assert (tmp_path / "results.jsonl").read_text().startswith(written)


def test_the_run_of_a_line_that_was_cut_off_runs_again(run, results, tmp_path):
    run()
    file = tmp_path / "results.jsonl"
    written = file.read_text()
    file.write_text(written[:-9])
    assert run() == ALL[-1:]
    assert file.read_text() == written


LINES = st.dictionaries(
    st.text(max_size=3), st.none() | st.floats(allow_nan=False) | st.text(max_size=5), max_size=3
)


@settings(max_examples=30)
@given(st.lists(LINES, min_size=1, max_size=4), LINES, st.data())
def test_a_file_cut_anywhere_keeps_its_whole_lines(results, tmp_path_factory, lines, more, data):
    file = tmp_path_factory.mktemp("cut") / "results.jsonl"
    assert results.read(file) == []
    for line in lines:
        results.append(file, line)
    assert results.read(file) == lines
    content = file.read_bytes()
    size = data.draw(st.integers(0, len(content)))
    file.write_bytes(content[:size])
    whole = content[:size].count(b"\n")
    assert results.read(file) == lines[:whole]
    results.append(file, more)
    assert results.read(file) == [*lines[:whole], more]


def test_damage_before_the_last_line_is_not_skipped(results, tmp_path):
    file = tmp_path / "results.jsonl"
    file.write_text('{"a": 1\n{"b": 2}\n')
    with pytest.raises(json.JSONDecodeError):
        results.read(file)


def lines_of(name, mious, *, seconds=10.0, records=0, tokens="t", **changed):
    facts = {"data": "roads", **ARM, "arm": name, "run_steps": 20, "tokens": tokens, **changed}
    return [
        {**facts, "seed": seed, "miou": miou, "seconds": seconds + seed, "records": records}
        for seed, miou in enumerate(mious)
    ]


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_a_row_has_mean_and_sample_deviation_over_seeds(results, mious, random):
    lines = [*lines_of("fixmatch", mious), *lines_of("supervised", [0.25])]
    random.shuffle(lines)
    [row] = [row for row in results.rows_of(lines) if row.arm.arm == "fixmatch"]
    percents = [100 * miou for miou in mious]
    assert row.mean[1] == pytest.approx(statistics.fmean(percents))
    if len(mious) == 1:
        assert row.spread is None
    else:
        assert row.spread == pytest.approx(statistics.stdev(percents))
    _, _, line = results.table([row]).splitlines()
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[results.COLUMNS.index("seeds")] == str(len(mious))
    shown = cells[results.COLUMNS.index("mIoU")].split(" ± ")
    assert float(shown[0]) == pytest.approx(statistics.fmean(percents), abs=0.006)
    assert len(shown) == 1 + (len(mious) > 1)


def test_a_later_run_of_a_seed_replaces_the_earlier_one(results):
    lines = [*lines_of("fixmatch", [0.1, 0.2]), *lines_of("fixmatch", [0.3])]
    [row] = results.rows_of(lines)
    assert row.scores == pytest.approx((30, 20))


def test_arms_of_other_settings_are_other_rows(results):
    lines = [line for name in ARM for line in lines_of("rs-mtdf", [0.5], **{name: OTHERS[name]})]
    assert len(results.rows_of(lines)) == len(ARM)


def test_costs_with_extraction_have_the_mean_rate_of_the_same_tokens(results):
    lines = [
        {"tokens": "t", "records": 10, "seconds": 5.0},
        *lines_of("rs-mtdf", [0.5, 0.5], records=100),
        {"tokens": "t", "records": 30, "seconds": 7.0},
        {"tokens": "other", "records": 1, "seconds": 99.0},
    ]
    [row] = results.rows_of(lines)
    assert row.warm == (10, 11)
    assert row.cold == pytest.approx(10.5 + 100 * 12 / 40)


def test_the_recorded_results_are_whole(results):
    file = Path(__file__).with_name("experiment_teachers.jsonl")
    lines = results.read(file)
    assert len(lines) == len(file.read_text().splitlines()) > 0
    runs = [line["key"] for line in lines if "key" in line]
    assert len(runs) == len(set(runs))


def test_splits_of_a_folder_are_disjoint_and_the_same_each_time(
    teachers, folder, tmp_path, held_out, monkeypatch
):
    path, root = teachers.split_folder(folder, tmp_path / "first")
    splits = {name: split.scenes for name, split in load_manifest(path).splits.items()}
    assert {name: len(scenes) for name, scenes in splits.items()} == {
        "train": 7,
        "val": 2,
        "test": 3,
    }
    assert sorted(sum(splits.values(), ())) == sorted(map(str, range(12)))
    assert {*map(str, range(9, 12))} <= {*splits["train"]}, "scenes without a mask train"
    assert {link.stem for link in (root / "images").iterdir()} == {*map(str, range(12))}
    text = Path(path).read_text()
    assert Path(teachers.split_folder(folder, tmp_path / "first")[0]).read_text() == text
    listed = Path.glob
    monkeypatch.setattr(Path, "glob", lambda *words: reversed([*listed(*words)]))
    assert Path(teachers.split_folder(folder, tmp_path / "second")[0]).read_text() == text


@pytest.mark.parametrize(
    ("status", "scored", "verbs"),
    [
        (None, False, ["train", "evaluate"]),
        ("running", False, ["train --resume", "evaluate"]),
        ("finished", False, ["evaluate"]),
        ("finished", True, []),
    ],
)
def test_an_experiment_on_dubai_goes_on(dubai, tmp_path, monkeypatch, status, scored, verbs):
    called = []

    def rsmtdf(verb, *words, **_options):
        called.append(f"{verb} --resume" if "--resume" in words else verb)

    monkeypatch.setattr(dubai, "rsmtdf", rsmtdf)
    if status:
        (tmp_path / "run.json").write_text(json.dumps({"status": status}))
    if scored:
        report = tmp_path / "evaluation" / "test-ema" / "report.json"
        report.parent.mkdir(parents=True)
        report.touch()
    dubai.train(tmp_path, ["seed=0"], 1)
    assert called == verbs
