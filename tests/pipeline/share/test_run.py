"""Runs and exports are shared with a card, and fetched whole and verified."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import pipeline.share.listing
from cli.main import app
from pipeline.calibrate.run import calibrate
from pipeline.evaluate.run import evaluate
from pipeline.exchange.export import export_run, load_exported
from pipeline.share import pull, push
from pipeline.share.listing import LISTING
from pipeline.train.run import train
from pipeline.trained import load_run
from rsmtdf_core.errors import ConfigError, MissingFileError, RunError
from tests.pipeline.helpers import Messages

SHORT = ("objective.method=supervised", "optimiser.epochs=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder for a run that is trained, scored and calibrated once."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(trained, make_config):
    """A short training, which no test changes."""
    if not (trained / "run").exists():
        folder = train(make_config(*SHORT), trained / "run").run
        calibrate(folder)
        evaluate(folder, protocols=["rsmtdf", "official"])
    return trained / "run"


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_usable(run: Path, copy: Path) -> None:
    """A fetched run has the same model and report."""
    expected, found = load_run(run), load_run(copy)
    assert found.checkpoint.fingerprint == expected.checkpoint.fingerprint
    report = "evaluation/test-ema/report.json"
    assert (copy / report).read_bytes() == (run / report).read_bytes()


def test_a_run_in_a_folder_is_fetched_whole_with_a_card(run, tmp_path):
    messages = Messages()
    shared = push(run, str(tmp_path / "shared"), messages, terms="cc-by-4.0")
    assert any("paths of this machine" in line for line in messages.lines)
    result = pull(str(tmp_path / "shared"), tmp_path / "copy")
    assert result.listing == shared.listing
    assert files(tmp_path / "copy") == files(tmp_path / "shared")
    assert_usable(run, tmp_path / "copy")
    assert not any(
        "optimiser" not in name and "checkpoints/" in name for name in files(tmp_path / "copy")
    )
    assert {Path(name).name for name in files(tmp_path / "copy") if name.endswith(".png")} == {
        "confusion.png",
        "curves.png",
        "reliability.png",
    }, "no image of the data is shared"
    card = (tmp_path / "copy" / "README.md").read_text()
    facts = yaml.safe_load(card.split("---")[1])
    assert facts["license"] == "cc-by-4.0"
    scores = json.loads((run / "evaluation/test-ema/report.json").read_text())["scores"]
    for text in (
        f"rsmtdf pull {tmp_path}/shared --out model",
        f"| test | rsmtdf | 2 | {100 * scores['miou']:.2f} |",
        "| test | official | 2 |",
        "| start of the student | test\\_efficientnet | random | none: random |",
        "Confidences are calibrated: temperature",
        "supervised, student test\\_efficientnet, seed 0, 4 steps",
    ):
        assert text in card, text


def test_a_card_names_teachers_and_escapes_names(run, tmp_path):
    from pipeline.share.card import Card, Weights

    hostile = "<script>| [x](y)\n# a"
    card = Card(
        name=hostile,
        kind="run",
        license=None,
        cautions=(hostile,),
        dataset=hostile,
        classes=(hostile,),
        notes=(hostile,),
        splits=((hostile, hostile),),
        weights=(Weights("teacher dino", hostile, "hub", "apache-2.0"),),
    )
    text = card.text("hf://a/b")
    assert "<script>" not in text.replace("\\<script", "")
    assert "\n# a" not in text
    assert "| teacher dino |" in text
    assert "| hub | apache-2.0 |" in text
    assert "This model was not scored" in text


def test_an_export_is_shared_with_its_json(run, tmp_path):
    export_run(run, tmp_path / "export", "safetensors")
    push(tmp_path / "export", str(tmp_path / "shared"))
    result = pull(str(tmp_path / "shared"), tmp_path / "copy")
    assert (result.listing.kind, result.listing.name) == ("export", "run")
    load_exported(tmp_path / "copy" / "student.safetensors")
    assert "student.safetensors" in (tmp_path / "copy" / "README.md").read_text()


def test_a_damaged_or_incomplete_share_leaves_no_folder(run, tmp_path):
    push(run, str(tmp_path / "shared"))
    for harm, error in (
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "differs from the one"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "larger than its limit"),
        (lambda path: path.unlink(), "does not exist"),
    ):
        damaged = tmp_path / "damaged"
        shutil.copytree(tmp_path / "shared", damaged)
        harm(damaged / "metrics.jsonl")
        with pytest.raises((RunError, MissingFileError), match=error):
            pull(str(damaged), tmp_path / "copy")
        shutil.rmtree(damaged)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["shared"]
    with pytest.raises(MissingFileError, match="does not exist") as caught:
        pull(str(tmp_path / "nowhere"), tmp_path / "copy")
    assert "rsmtdf push" in caught.value.remedy


@pytest.mark.parametrize(
    "path", ["../evil", "/etc/evil", "a/../../evil", ".ssh/key", "a//b", "a\\b"]
)
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path, path):
    (tmp_path / "shared").mkdir()
    entry = {"path": path, "bytes": 1, "sha256": "0" * 64}
    values = pipeline.share.listing.FORMAT.stamped({"kind": "run", "name": "x", "files": [entry]})
    content = json.dumps(pipeline.share.listing.seal(values)).encode() + b"\n"
    (tmp_path / "shared" / LISTING).write_bytes(content)
    with pytest.raises(RunError, match="not a list of shared files"):
        pull(str(tmp_path / "shared"), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_sources_addresses_and_folders_that_cannot_be_used(run, tmp_path):
    with pytest.raises(MissingFileError):
        push(tmp_path / "none", str(tmp_path / "shared"))
    with pytest.raises(RunError, match="there is no run here"):
        push(tmp_path, str(tmp_path / "shared"))
    with pytest.raises(ConfigError, match="does not name a repository"):
        push(run, "hf://name")
    with pytest.raises(ConfigError, match="address cannot be used"):
        push(run, "nonsense://host/folder")
    with pytest.raises(ConfigError, match="identifier"):
        push(run, str(tmp_path / "shared"), terms="My License!")
    with pytest.raises(ConfigError, match="exists already"):
        pull(str(tmp_path), run)
    assert not (tmp_path / "shared").exists()


def test_an_address_of_fsspec(run, tmp_path):
    push(run, "memory://shared/run")
    pull("memory://shared/run", tmp_path / "copy")
    assert_usable(run, tmp_path / "copy")


def test_the_commands(run, tmp_path):
    shared = tmp_path / "shared"
    words = ["push", str(run), "--to", str(shared), "--license", "mit"]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert f"rsmtdf pull {shared} --out run" in done.output
    done = CliRunner().invoke(app, ["pull", str(shared), "--out", str(tmp_path / "copy")])
    assert done.exit_code == 0, done.output
    assert "rsmtdf predict" in done.output
    assert_usable(run, tmp_path / "copy")
