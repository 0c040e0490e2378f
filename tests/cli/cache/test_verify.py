"""Output and exit status of `rsmtdf cache verify` and `transcode`."""

import json

import pytest
import typer
from typer.testing import CliRunner

from cli import console
from cli.cache.transcode import transcode
from cli.cache.verify import verify
from rsmtdf_core.errors import ConfigError
from tests.caches import make_store


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a verb on the test's cache."""
    monkeypatch.setattr(console.out, "_width", 200)
    app = typer.Typer()
    app.command()(verify)
    app.command()(transcode)

    def invoke(*arguments):
        return CliRunner().invoke(app, [*map(str, arguments), "--cache", str(tmp_path)])

    return invoke


def test_an_intact_store_ends_with_status_0_and_lists_skipped_checks(run, tmp_path):
    make_store(tmp_path)
    result = run("verify")
    assert result.exit_code == 0, result.output
    assert "1 stores: 3 ok, 0 failed, 4 skipped" in result.output
    assert result.output.count("give --config") == 4


def test_a_damaged_store_ends_with_status_1_and_names_the_file(run, tmp_path):
    store = make_store(tmp_path)
    shard = store.shard_path(1)
    content = bytearray(shard.read_bytes())
    content[0] ^= 1
    shard.write_bytes(content)
    result = run("verify", "tiny")
    assert result.exit_code == 1
    assert f"where: {shard}" in result.output
    assert f"fix:   rsmtdf cache repair {store.path}" in result.output
    assert run("verify", "--quick").exit_code == 0


def test_json_holds_every_check(run, tmp_path):
    make_store(tmp_path)
    report = json.loads(run("verify", "--json").stdout)
    [store] = report["stores"]
    assert [check["status"] for check in store["checks"]].count("ok") == 3


def test_options_that_contradict_are_refused(run, tmp_path):
    make_store(tmp_path)
    assert isinstance(run("verify", "--quick", "--deep").exception, ConfigError)
    assert isinstance(run("verify", "--set", "name=x").exception, ConfigError)


def test_transcode_shows_the_new_store_and_then_that_it_exists(run, tmp_path):
    make_store(tmp_path)
    result = run("transcode", "tiny", "--codec", "int8")
    assert result.exit_code == 0, result.output
    assert "18 records, 18 of them new" in result.output
    assert "centred cosine with the source's tokens" in result.output
    [name] = {path.name for path in tmp_path.glob("views-*/*-fp16")}
    again = run("transcode", name, "--codec", "int8")
    assert "the store is already complete" in again.output
    verified = run("verify")
    assert verified.exit_code == 0
    assert "2 stores: 6 ok" in verified.output


def test_a_codec_or_quality_that_does_not_exist_is_refused(run, tmp_path):
    make_store(tmp_path)
    assert isinstance(run("transcode", "tiny", "--codec", "zip").exception, ConfigError)
    wrong = run("transcode", "tiny", "--codec", "int8", "--quality", "2")
    assert isinstance(wrong.exception, ConfigError)
