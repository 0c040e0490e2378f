"""The page is self-contained, shows the measured values, escapes names, and fits every screen."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from pipeline.evaluate.run import evaluate
from pipeline.extract.run import extract
from pipeline.runs.compare import compare
from pipeline.runs.compare.tables import spread_text
from pipeline.runs.report import report
from pipeline.train.run import train
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.report import read_report
from rsmtdf_core.files import write_json
from rsmtdf_core.runs.folder import open_run
from rsmtdf_core.words import printable
from tests.pipeline.runs.report.parsed_page import Page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder for runs that are trained and scored once."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def runs(trained, make_config, tmp_path) -> Path:
    """Two seeds of fixmatch, one run of rs-mtdf, all scored; a copy to do harm to."""
    if not any(trained.iterdir()):
        shared = ("optimiser.epochs=1", f"runtime.cache={trained / 'cache'}")
        extract(make_config(*shared))
        for name, method, seed in (
            ("f0", "fixmatch", 0),
            ("f1", "fixmatch", 1),
            ("r", "rs-mtdf", 0),
        ):
            config = make_config(*shared, f"objective.method={method}", f"seed={seed}")
            evaluate(train(config, trained / "runs" / name).run)
    shutil.copytree(trained / "runs", tmp_path / "copies")
    return tmp_path / "copies"


def written(runs: Path, **arguments) -> Page:
    return Page(report([runs], runs.parent / "page.html", **arguments).path.read_text())


def test_the_page_needs_no_other_file(runs):
    written = report([runs], runs.parent / "page.html", scenes=1)
    text = written.path.read_text()
    page = Page(text)
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            address = attributes.get(name) or "#"
            assert address.startswith(("#", "data:")), (tag, address)
        if tag == "img":
            assert attributes["alt"]
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert len(style) > 1000
    assert not re.search(r"url\(|@import|@font-face", style)
    assert page.count("script") == page.count("style") == 1


def test_its_scores_are_those_of_comparison_and_reports(runs):
    page = written(runs, scenes=0)
    comparison = compare([runs], None, "test", classes=True)
    for group in comparison.groups:
        assert spread_text(group.miou) in page.text
        for name, spread in group.classes.items():
            assert name in page.text
            assert spread_text(spread) in page.text
    matrix = sum(
        read_report(runs / name / "evaluation" / "test-ema" / "report.json").matrix
        for name in ("f0", "f1")
    )
    titles = [attributes.get("title") for _, attributes in page.tags]
    for count in matrix.ravel().tolist():
        assert f"{count:,} pixels" in titles, "the seeds of a group are added up"


def test_it_has_the_thresholds_of_each_class_at_the_end_of_training(runs):
    assert "Self-adaptive" not in written(runs, scenes=0).text
    open_run(runs / "f0").log({"step": 99, "threshold_by_class": {"road": 0.625, "sand": 0.25}})
    text = " ".join(written(runs, scenes=0).text.split())
    _, _, table = text.partition("Self-adaptive thresholds at the end of training")
    assert re.search(r"road 62\.50 .*sand 25\.00", table)


def test_it_has_the_protocols_that_every_run_was_scored_by(runs):
    for name in ("f0", "f1"):
        evaluate(runs / name, protocols=["rsmtdf", "dwl", "official"])
    evaluate(runs / "r", protocols=["rsmtdf", "official"])
    page = written(runs, scenes=0)
    comparison = compare([runs], None, "test", protocol="official")
    assert "mIoU of each group by other protocols group official fixmatch" in " ".join(
        page.text.split()
    )
    for group in comparison.groups:
        assert spread_text(group.miou) in page.text
    rules = read_report(runs / "f0" / "evaluation" / "test-ema" / "report.json").by_protocol
    assert rules["official"].protocol_description in page.text
    assert rules["dwl"].protocol_description not in page.text, "one run has no such score"


def test_random_weights_are_named_first(runs):
    page = written(runs, scenes=0)
    before, _, _ = page.text.partition("How good")
    assert "RANDOM WEIGHTS in teachers cnn, vit" in before
    assert page.count("p", "alarm") == 1
    only_labels = report([runs / "f0"], runs.parent / "labels.html", scenes=0)
    plain = Page(only_labels.path.read_text())
    assert "RANDOM WEIGHTS" not in plain.text
    assert plain.count("p", "alarm") == 0


def test_each_panel_has_image_truth_and_a_prediction_of_each_group(runs):
    page = written(runs, scenes=2)
    assert page.count("section", "swipe") == 2
    assert page.count("figure", "layer") == 2 * (2 + 2 + 2)
    names = [attributes["data-name"] for _, attributes in page.tags if "data-name" in attributes]
    assert names[:2] == ["Image", "Truth"]
    assert {"fixmatch", "rs-mtdf (RANDOM WEIGHTS)"} == {
        name.removeprefix("Prediction, ") for name in names[4:6]
    }


def test_the_chain_names_every_link_and_the_cost_of_stage_one(runs, trained):
    result = report([runs], runs.parent / "page.html", scenes=0)
    assert {cost.teacher for cost in result.stores} == {"vit", "cnn"}
    assert all(
        cost.seconds > 0 and cost.bytes > 0 and cost.runs == ("r",) for cost in result.stores
    )
    text = result.path.read_text()
    lock = json.loads((runs / "r" / "cache.lock.json").read_text())
    evaluation = read_report(runs / "r" / "evaluation" / "test-ema" / "report.json")
    for fingerprint in (lock["plan"], evaluation.parent, evaluation.fingerprint()):
        assert f"fingerprint {fingerprint}" in text
    for store in lock["stores"].values():
        assert store["store"] in text
        assert store["identity"]["weights_sha256"] in text
    for cost in result.stores:
        assert f"fingerprint {cost.fingerprint}" in text


def test_a_missing_store_is_named(runs, trained):
    moved = trained / "elsewhere"
    (trained / "cache").rename(moved)
    try:
        result = report([runs], runs.parent / "page.html", scenes=0)
    finally:
        moved.rename(trained / "cache")
    assert {cost.state for cost in result.stores} == {"gone"}
    assert "Deleted from the cache" in result.path.read_text()


def test_an_imported_run_has_no_facts_of_our_training(runs):
    run = open_run(runs / "f0")
    assert not run.imported
    source = {"path": "best.pth", "fingerprint": "ab" * 32}
    run.note(status="finished", steps=0, initial=source)
    assert run.imported
    evaluate(run.path)
    text = report([run.path], runs.parent / "page.html", scenes=0).path.read_text()
    assert "imported from best.pth" in text
    assert f"sha256 {source['fingerprint']}" in text
    assert "its training data are unknown and may include these scenes" in text
    for fact in ("of the training scenes labeled", "train: ", "the teachers see", "fixmatch, seed"):
        assert fact not in text
    (warning,) = [text for text in compare([runs], None, "test").warnings if "imported" in text]
    assert warning.endswith(f"of the other runs: {run.path}")


def test_the_same_runs_give_the_same_bytes(runs):
    first = report([runs], runs.parent / "a.html", scenes=1).path.read_bytes()
    assert report([runs], runs.parent / "b.html", scenes=1).path.read_bytes() == first


@pytest.mark.parametrize(
    "name", ['<script>alert("1")&amp;', "{{ 7 * 7 }}{% raw %}", "[/]'\"><svg onload=1>", "\x1b[31m"]
)
def test_names_cannot_break_the_page(runs, name):
    (runs / "f0").rename(runs / name.replace("/", "\u2215"))
    shown = printable(name.replace("/", "\u2215"))
    text = report([runs], runs.parent / "page.html", scenes=0).path.read_text()
    page = Page(text)
    assert page.count("script") == 1
    assert not any("onload" in attributes for _, attributes in page.tags)
    assert page.texts.count(shown) >= 2, "among the runs' scores and the chains"


def test_without_the_data_the_page_has_scores_and_no_panels(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    page = written(runs, root=tmp_path / "empty")
    assert page.count("section", "swipe") == 0
    assert "No scenes are shown: no image matches" in page.text
    assert page.count("svg") > 1


def test_runs_without_metrics_have_scores_and_no_curves(runs):
    for name in ("f0", "f1", "r"):
        open_run(runs / name).note(lines=0)
        (runs / name / "metrics.jsonl").unlink()
    page = written(runs, scenes=0)
    assert "No metrics were recorded" in page.text
    assert page.count("svg") == 1  # the reliability diagram, which comes from the scores
    assert page.count("table") > 3


def test_runs_that_were_not_scored_or_have_damaged_reports_are_refused(runs, tmp_path):
    out = tmp_path / "page.html"
    path = runs / "f1" / "evaluation" / "test-ema" / "report.json"
    content = json.loads(path.read_text())
    write_json(path, content | {"images": 99})
    with pytest.raises(RunError, match="changed after it was written"):
        report([runs], out)
    path.unlink()
    with pytest.raises(RunError, match="1 of 3 runs") as caught:
        report([runs], out)
    assert f"rsmtdf evaluate {runs / 'f1'}" in caught.value.remedy
    with pytest.raises(RunError, match="folder"):
        report([runs], tmp_path)
    assert not out.exists()


def test_the_command_prints_the_path_of_the_page_and_unfair_differences(runs, tmp_path):
    words = ["report", str(runs), "--out", str(tmp_path / "page.html"), "--scenes", "0"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "page.html") in result.output
    assert "RANDOM WEIGHTS" in result.output


WATCH = """<script>
window.wrong = [];
addEventListener("error", (event) => wrong.push(`error: ${event.message}`), true);
addEventListener("securitypolicyviolation", (event) => wrong.push(`blocked: ${event.blockedURI}`));
console.error = (...words) => wrong.push(`console: ${words}`);
</script>"""
MEASURE = """<script>
addEventListener("load", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
  const panel = document.querySelector(".swipe");
  const slider = panel.querySelector("input"), stage = panel.querySelector(".stage");
  slider.value = 20;
  slider.dispatchEvent(new Event("input"));
  const [left, right] = ["left", "right"].map((side) => panel.querySelector(`.layer.${side}`));
  const measured = {
    width: innerWidth,
    content: document.documentElement.scrollWidth,
    wide: [...document.querySelectorAll("main > section, main > section > *")]
      .filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.className),
    wrong,
    requests: performance.getEntriesByType("resource").map((one) => one.name)
      .filter((name) => !name.startsWith("data:")),
    seen: [left.dataset.name, right.dataset.name],
    clip: getComputedStyle(left).clipPath,
    covers: slider.getBoundingClientRect().width === stage.getBoundingClientRect().width,
    loaded: [...document.images].every((one) => one.complete && one.naturalWidth > 0),
  };
  parent.postMessage(JSON.stringify(measured), "*");
});
</script>"""

# Browsers have a least width for windows, larger than a phone; frames have none.
FRAME = """<!DOCTYPE html><pre id="measured"></pre><script>
addEventListener("message", (event) => { document.querySelector("pre").textContent = event.data; });
</script><iframe src="watched.html" width="WIDTH" height="900" style="border: 0"></iframe>"""


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on this machine")
@pytest.mark.parametrize("width", [1280, 768, 360])
def test_a_browser_shows_it_without_overflow_errors_or_requests(runs, tmp_path, width):
    text = report([runs], tmp_path / "page.html", scenes=1).path.read_text()
    watched = tmp_path / "watched.html"
    watched.write_text(
        text.replace("<style>", f"{WATCH}<style>", 1).replace("</body>", f"{MEASURE}</body>")
    )
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.replace("WIDTH", str(width)))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    options = [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000"]
    dumped = subprocess.run(
        [BROWSER, *flags, *options, "--virtual-time-budget=3000", "--dump-dom", frame.as_uri()],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    match = re.search(r'<pre id="measured">(.+?)</pre>', dumped)
    assert match is not None, "the page's script did not come to its end"
    measured = json.loads(match[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert measured["width"] == width
    assert measured["content"] <= width
    assert measured["wide"] == measured["wrong"] == measured["requests"] == []
    assert measured["seen"][0] == "Image"
    assert measured["seen"][1].startswith("Prediction")
    assert "80%" in measured["clip"]
    assert measured["covers"]
    assert measured["loaded"]
