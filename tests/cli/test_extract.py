"""The options of `rsmtdf extract-features` reach the stage, and its table shows the report."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import pipeline.extract.run
from cli.main import app
from pipeline.extract.run import ExtractReport, StoreReport

STORE = StoreReport(
    teacher="dino [base]",
    path=Path("cache/views-1/dino"),
    views=40,
    new=30,
    bytes=3 * 2**20,
    seconds=6.0,
    random_weights=False,
)
REPORT = ExtractReport(
    group=Path("cache/views-1"),
    views=40,
    rendered=30,
    seconds=10.0,
    waiting_seconds=1.25,
    stores=(STORE, STORE.model_copy(update={"teacher": "clip", "random_weights": True})),
)


@pytest.fixture
def calls(monkeypatch):
    """The config, scheduler and reporter of each call of the stage."""
    calls = []

    def record(config, scheduler, reporter):
        calls.append((config, scheduler, reporter))
        return REPORT

    monkeypatch.setattr(pipeline.extract.run, "extract", record)
    return calls


def call(*arguments: str):
    return CliRunner().invoke(app, ["extract-features", *arguments], env={"COLUMNS": "160"})


def words(output):
    """The output in one line, without the lines between cells."""
    return " ".join(output.replace("│", " ").split())


def test_the_config_is_read_with_its_overrides_and_cache(calls, tmp_path):
    overrides = ("--set", "views.crop=128", "--set", "views.unlabeled_views=3")
    done = call("demo", *overrides, "--cache", str(tmp_path))
    assert done.exit_code == 0, done.output
    ((config, scheduler, _),) = calls
    assert (config.views.crop, config.views.unlabeled_views) == (128, 3)
    assert config.runtime.cache == tmp_path
    assert scheduler is None


def test_without_options_the_configs_cache_is_used(calls):
    assert call("demo", "--set", "runtime.cache=elsewhere").exit_code == 0
    assert calls[0][0].runtime.cache == Path("elsewhere")


def test_the_scheduler_is_passed_on(calls):
    assert call("demo", "--scheduler", "tcp://host:8786").exit_code == 0
    assert calls[0][1] == "tcp://host:8786"


def test_an_invalid_override_starts_no_extraction(calls):
    done = call("demo", "--set", "views.crop=nine")
    assert done.exit_code == 1
    assert "views.crop" in str(done.exception)
    assert not calls


def test_the_table_has_a_row_for_each_teacher(calls):
    done = call("demo")
    assert done.exit_code == 0
    text = words(done.stdout)
    assert "dino [base] 40 30 3.0 MiB 6.0 5.0" in text
    assert "clip (RANDOM WEIGHTS)" in text
    assert "store cache/views-1" in text
    assert "30 views in 10.0 s (3.0 views/s); teachers waited 1.2 s for pixels and disk" in text
    assert calls


def test_a_complete_cache_is_reported_without_rates(monkeypatch):
    stores = (STORE.model_copy(update={"new": 0, "seconds": 0.0}),)
    complete = REPORT.model_copy(update={"rendered": 0, "seconds": 0.5, "stores": stores})
    monkeypatch.setattr(pipeline.extract.run, "extract", lambda *_: complete)
    done = call("demo")
    assert done.exit_code == 0
    assert "all features are already in the cache (0.5 s)" in done.stderr
    assert "views/s)" not in done.output
    assert "0.0 -" in words(done.stdout)
