import json
import os
import time

import pytest
from typer.testing import CliRunner

from cli.cache.commands import app
from cli.console import out
from rsmtdf_core.cache.catalogue import read_catalogue
from rsmtdf_core.cache.usage import begin_run
from rsmtdf_core.errors import ConfigError, StoreNotFoundError
from tests.caches import make_store, tree


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def call(cache, monkeypatch):
    # The console took its width from wherever it was first imported.
    monkeypatch.setattr(out, "width", 200)

    def run(*arguments):
        environment = {"RSMTDF_CACHE": str(cache)}
        return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)

    return run


@pytest.fixture
def say(call):
    """The output of a successful call."""

    def run(*arguments):
        result = call(*arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    return run


def test_ls_lists_every_store_with_its_state(cache, say):
    make_store(cache, "dino")
    make_store(cache, "noise", random_weights=True, commit=False)
    broken = make_store(cache, "broken")
    (broken.path / "zarr.json").write_text("{}")
    (cache / "notes").mkdir()
    output = say("ls")
    for word in ("dino", "18 of 18", "committed", "unfinished", "damaged", "0.0 d ago"):
        assert word in output
    assert "noise (RANDOM WEIGHTS)" in output
    assert f"{broken.path.name}: " in output
    assert "1 files and folders here do not belong to the cache" in output


def test_ls_lists_the_runs_and_pins_that_keep_a_store(cache, say, tmp_path):
    store = make_store(cache)
    (tmp_path / "run.json").write_text("{}")
    begin_run(cache, tmp_path, [store.path])
    say("pin", "tiny", "--note", "paper")
    assert "pin (paper), 1 unfinished run" in say("ls")


def test_ls_prints_json_for_programs(cache, say):
    make_store(cache, random_weights=True)
    (entry,) = json.loads(say("ls", "--json"))
    assert (entry["teacher"], entry["views"], entry["state"]) == ("tiny", 18, "committed")
    assert entry["random_weights"] is True
    assert json.loads(say("info", "tiny", "--json")) == entry


def test_the_option_goes_before_the_environment(cache, say, tmp_path):
    make_store(cache)
    make_store(tmp_path / "other", "elsewhere")
    assert "elsewhere" in say("ls", "--cache", tmp_path / "other")
    assert "elsewhere" not in say("ls")


def test_info_shows_the_whole_chain(cache, say, tmp_path):
    store = make_store(cache, random_weights=True)
    (tmp_path / "run.json").write_text("{}")
    begin_run(cache, tmp_path, [store.path])
    say("pin", "tiny", "--group", "--note", "for all")
    output = say("info", "tiny")
    for word in (
        "scenes: 9 (s000, s001, s002 and 6 more)",
        "seed: 0",
        "crop: 28",
        "views: 18 of the group's 18 (4 labeled, 14 unlabeled, up to 2 per scene)",
        "teacher: tiny, 3 x 3 tokens of 5 channels RANDOM WEIGHTS",
        f"weights_sha256: {'a' * 64}",
        "codec: fp16",
        "mean: float32 [5]",
        "mean-centred cosine",
        "1.5 s of extraction, 83.3 ms per view",
        "for all",
        f"{tmp_path} on ",
        "unfinished",
    ):
        assert word in output


def test_info_of_a_damaged_store_names_the_damage(cache, say):
    store = make_store(cache)
    (store.path / "zarr.json").write_text("{}")
    output = say("info", "tiny")
    assert "state: damaged (" in output
    assert "runs: none registered" in output


def test_an_ambiguous_word_is_refused_with_the_candidates(cache, call):
    stores = make_store(cache), make_store(cache, seed=1)
    result = call("info", "tiny")
    assert isinstance(result.exception, ConfigError)
    assert all(store.group.path.name in str(result.exception) for store in stores)


def test_a_pinned_store_survives_gc_until_it_is_unpinned(cache, say, call):
    make_store(cache)
    assert "pinned" in say("pin", "tiny", "--note", "mine")
    result = call("gc", "--max-bytes", "0")
    assert result.exit_code == 1  # the limit could not be kept
    assert "pinned: mine" in result.output
    assert "this is more than 0" in result.output
    say("unpin", "tiny")
    assert "the stores take more than the limit" in say("gc", "--max-bytes", "0")
    assert read_catalogue(cache).stores == ()


def test_a_dry_run_of_gc_deletes_no_file(cache, say):
    store = make_store(cache)
    when = time.time() - 40 * 86400
    os.utime(store.path / "commit.json", (when, when))
    before = tree(cache)
    output = say("gc", "--older-than", "30d", "--dry-run")
    assert "would be deleted" in output
    assert "last used 40.0 days ago" in output
    assert tree(cache) == before


def test_a_malformed_limit_is_reported(cache, call):
    make_store(cache)
    assert "is not a size" in str(call("gc", "--max-bytes", "many").exception)
    assert "is not an age" in str(call("gc", "--older-than", "long").exception)


def test_du_divides_the_bytes_three_ways(cache, say):
    make_store(cache)
    make_store(cache, "other", codec="int8")
    output = say("du")
    for word in ("views-", "tiny", "other", "fp16", "int8", "100.0", str(cache)):
        assert word in output


def test_export_and_import_move_a_store(cache, say, tmp_path):
    make_store(cache)
    make_store(cache, "other")
    exported = say("export", "tiny", "other", tmp_path / "shelf")
    assert "exported 36 records of 2 stores" in exported
    imported = say("import", tmp_path / "shelf", "--cache", tmp_path / "copy")
    assert "imported 36 records of 2 stores" in imported
    assert tree(tmp_path / "copy") == tree(cache)


def test_parts_are_moved_by_teacher_and_by_range(cache, say, tmp_path):
    make_store(cache, views=4)
    make_store(cache, "other", views=4)
    say("export", tmp_path / "shelf", "--teacher", "other", "--views", "0:2")
    say("import", tmp_path / "shelf", "--cache", tmp_path / "copy", "--views", "0:1")
    (entry,) = read_catalogue(tmp_path / "copy").stores
    assert entry.teacher == "other"
    assert entry.views < 36


def test_stores_that_cannot_be_exported_are_reported(cache, call, tmp_path):
    broken = make_store(cache)
    (broken.path / "zarr.json").write_text("{}")
    for arguments in (["tiny"], []):
        result = call("export", *arguments, tmp_path / "shelf")
        assert isinstance(result.exception, StoreNotFoundError)
    assert not (tmp_path / "shelf").exists()


def test_a_wrong_option_ends_with_status_2(call):
    assert call("ls", "--nonsense").exit_code == 2
    assert call("pin").exit_code == 2
