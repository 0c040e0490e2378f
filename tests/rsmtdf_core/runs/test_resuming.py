"""A resumed run has the settings, the data and the global batch that it was started with."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import ConfigError, RunError
from rsmtdf_core.roles import ConfigSettings, Place, Result, Scoring, Speed
from rsmtdf_core.runs.resuming import GlobalBatch, changed_settings
from rsmtdf_core.settings import Settings
from rsmtdf_core.validation import dump_yaml

BATCHES = st.builds(GlobalBatch, st.integers(1, 8), st.integers(1, 16).map(lambda half: 2 * half))


class Inner(ConfigSettings):
    lr: Result[float] = 0.1
    workers: Speed[int] = 2


class Config(ConfigSettings):
    inner: Inner = Inner()
    window: Scoring[int] = 64
    cache: Place[str] = "here"


class Manifest(Settings):
    name: str = "scenes"
    title: str = "Scenes"
    notes: str = ""
    protocols: tuple[str, ...] = ()


@given(BATCHES, BATCHES)
def test_only_another_number_of_crops_is_refused_and_the_proposals_are_right(
    tmp_path_factory, a, b
):
    run = tmp_path_factory.getbasetemp()
    assert a.total == a.processes * a.each
    if a.total == b.total:
        a.require_same_total(b, run)
        return
    with pytest.raises(RunError) as caught:
        a.require_same_total(b, run)
    assert f"{a.total} labeled crops" in caught.value.what
    assert f"--nproc-per-node {a.processes} and optimiser.batch={a.each}" in caught.value.remedy
    proposed = re.search(r"--set optimiser\.batch=(\d+)", caught.value.remedy)
    if proposed:
        GlobalBatch(b.processes, int(proposed[1])).require_same_total(a, run)
        assert int(proposed[1]) % 2 == 0
    else:
        assert a.total % (2 * b.processes)


@pytest.fixture
def changes(tmp_path):
    """The differences from a run with the default settings."""
    (tmp_path / "config.yaml").write_text(dump_yaml(Config()))
    (tmp_path / "manifest.yaml").write_text(dump_yaml(Manifest()))

    def compare(config=None, manifest=None):
        return changed_settings(
            tmp_path / "config.yaml",
            config or Config(),
            tmp_path / "manifest.yaml",
            manifest or Manifest(),
        )

    return compare


def test_the_same_settings_do_not_differ(changes):
    assert changes() == []


def test_speed_places_and_words_may_change(changes):
    config = Config(inner=Inner(workers=0), cache="there")
    manifest = Manifest(title="Other", notes="more", protocols=("dwl",))
    assert changes(config, manifest) == []


def test_each_deciding_key_that_changed_is_named(changes):
    config = Config(inner=Inner(lr=0.2), window=32)
    assert changes(config, Manifest(name="others")) == [
        "inner.lr: expected 0.1, found 0.2",
        "window: expected 64, found 32",
        "manifest.name: expected scenes, found others",
    ]


def test_a_key_that_came_later_has_its_default(changes, tmp_path):
    (tmp_path / "config.yaml").write_text("inner: {lr: 0.1}\n")
    assert changes() == []
    assert changes(Config(window=32)) == ["window: expected 64, found 32"]


def test_a_file_with_an_unknown_key_is_refused_by_name(changes, tmp_path):
    (tmp_path / "config.yaml").write_text("innner: {}\n")
    with pytest.raises(ConfigError, match=r"innner") as caught:
        changes()
    assert "config.yaml" in str(caught.value)
