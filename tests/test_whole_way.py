"""The whole way on genuine samples of each benchmark: from its files to a map and a page, by commands alone."""

import html
import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.scenes.find import Dataset, find_scenes
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.scenes.scene import Scene
from tests.benchmark_cases import CASES, IGNORED, PROTOCOLS, Case, Ids
from tests.rasters import CRS, TRANSFORM, rasterio, write_tiff

pytestmark = [pytest.mark.shared, pytest.mark.slow]

STEPS = 16
LABELED_VIEWS = 4
COLLAR = 40  # px without data at two sides of a raster


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


# Potsdam has lists of crops and padded windows; `make reliability` has the others.
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            marks=() if case.benchmark == "potsdam" else pytest.mark.reliability,
            id=case.benchmark,
        )
        for case in CASES
    ],
)
def test_from_the_published_files_to_a_map_and_a_page(case, shared, tmp_path):
    source = tmp_path / "source"
    case.lay_out(shared / "data", source)
    weights = shared / "weights" / case.weights if case.weights else None
    student = shared / "weights" / case.student_weights if case.student_weights else None

    dataset, manifest = prepared(case, source, tmp_path / "prepared")
    files = {
        "data.root": dataset.root,
        "data.manifest": manifest,
        "student.weights": student or "random",
    }
    words = config(case, files, weights, tmp_path)
    extracted(case, words)
    run = trained(case, words)
    report, printed = evaluated(case, run)
    maps = mapped(dataset, run, tmp_path)
    agree_with_the_truth(case, dataset, maps, report)
    told_on_the_page(case, report, printed, weights, tmp_path / "report.html", run)


def rsmtdf(*words: object) -> str:
    """The output of a command, in one line."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, f"{words}: {done.output} {done.exception!r}"
    return " ".join(done.output.split())


def words_of(pattern: str, printed: str) -> tuple[str, ...]:
    """The parts of a command's output that match the groups of a pattern."""
    match = re.search(pattern, printed)
    assert match is not None, f"{pattern} is not in: {printed}"
    return match.groups()


def prepared(case: Case, source: Path, to: Path) -> tuple[Dataset, str]:
    options = [word.format(source=source) for word in case.options]
    printed = rsmtdf(
        *("data", "prepare", case.benchmark, "--from", source, "--to", to, "--partial", *options)
    )
    assert words_of(r"\b(\d+) images? below", printed) == (str(case.tiles),)
    assert "partial data: expected" in printed
    manifest, root = words_of(r"next: rsmtdf data check (\S+) --root (\S+)", printed)
    assert Path(manifest).stem == case.manifest
    assert case.note in printed
    assert "no problems found" in rsmtdf("data", "check", manifest, "--root", root)
    dataset = find_scenes(load_manifest(manifest), Path(root))
    assert dataset.manifest.class_names == case.classes
    assert {name: len(scenes) for name, scenes in dataset.splits.items()} == case.scenes
    return dataset, manifest


def config(
    case: Case, files: dict[str, object], weights: Path | None, folder: Path
) -> tuple[object, ...]:
    """The packaged config of the benchmark, made small enough for a test."""
    values = {
        "name": case.benchmark,
        **files,
        "data.labeled": "1/2",
        "views.crop": 64,
        "views.labeled_views": LABELED_VIEWS,
        "views.unlabeled_views": 1,
        "teachers": "[" + case.teacher.replace("{weights}", str(weights)) + "]",
        "student.encoder": case.student,
        "student.translator_hidden": 16,
        "optimiser.batch": 4,
        "optimiser.lr": 0.001,
        "optimiser.multiplier": 1,
        "optimiser.ema": 0.8,
        "evaluation.every": 100,
        "evaluation.inference": f"{{mode: slide, window: {case.window}, overlap: 0.25, blend: hann}}",
        "runtime.device": "cpu",
        "runtime.precision": "fp32",
        "runtime.workers": 0,
        "runtime.runs": folder / "runs",
    }
    overrides = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    return (case.benchmark, *overrides, "--cache", folder / "cache")


def extracted(case: Case, words: Iterable[object]) -> None:
    printed = rsmtdf("extract-features", *words)
    assert f"{LABELED_VIEWS * case.labeled + case.unlabeled} views in" in printed
    assert ("RANDOM WEIGHTS" in printed) == (case.weights is None)
    assert "all features are already in the cache" in rsmtdf("extract-features", *words)


def trained(case: Case, words: Iterable[object]) -> Path:
    printed = rsmtdf("train", *words, "--max-steps", STEPS)
    assert f"on {case.labeled} labeled and {case.unlabeled} unlabeled scenes" in printed
    assert f"{STEPS} steps" in printed
    (run,) = words_of(r"score it: rsmtdf evaluate (\S+)", printed)
    return Path(run)


def report_of(run: Path, protocols: Iterable[str]) -> tuple[dict, str]:
    """The scores of a run by protocols, and the command's output."""
    printed = rsmtdf(
        "evaluate", run, *(word for name in protocols for word in ("--protocol", name))
    )
    (folder,) = words_of(r"report and pictures (\S+)", printed)
    return json.loads((Path(folder) / "report.json").read_text()), printed


def evaluated(case: Case, run: Path) -> tuple[dict, str]:
    # A report has the pixel counts of its first protocol, and the crops of others may differ.
    alone = {name: report_of(run, [name])[0] for name in PROTOCOLS[1:]}
    report, printed = report_of(run, PROTOCOLS)
    alone[PROTOCOLS[0]] = report
    scored = [report, *report["others"]]
    assert tuple(scores["protocol"] for scores in scored) == PROTOCOLS
    for scores in scored:
        assert f"protocol {scores['protocol']}" in printed
        assert scores["protocol_description"] in printed
        assert f"scored: {scores['crops']}" in printed
        counted = alone[scores["protocol"]]
        assert counted["crops"] == scores["crops"]
        expected = ious(case, scores["protocol"], counted["confusion"], counted["ignored"])
        scored_ious = {
            row["name"]: row["iou"] for row in scores["scores"]["classes"] if row["scored"]
        }
        assert scored_ious == pytest.approx(expected, abs=1e-9)
        assert scores["scores"]["miou"] == pytest.approx(
            mean(scores["protocol"], expected), abs=1e-9
        )
    assert ("padded at a border" in report["others"][0]["crops"]) == case.padded
    assert len({scores["protocol_description"] for scores in scored}) == len(PROTOCOLS)
    assert report["images"] == case.scenes["test"]
    assert case.note in report["notes"]
    listed = f"{case.labeled} training scenes listed as labeled"
    labels = listed if "--splits" in case.options else "0.5 of the training scenes labeled"
    assert any(labels in note for note in report["notes"])
    assert any("partial data: expected" in note for note in report["notes"])
    assert ("RANDOM WEIGHTS" in printed) == (case.weights is None)
    return report, printed


def ious(
    case: Case, protocol: str, confusion: list[list[int]], ignored: list[int]
) -> dict[str, float | None]:
    """The IoU of each scored class by the words of docs/protocols.md; None for one that is absent."""
    left_out = case.unscored[protocol]
    rows = [
        [0] * len(row) if protocol == "official" and name == left_out else row
        for name, row in zip(case.classes, confusion, strict=True)
    ]
    values: dict[str, float | None] = {}
    for number, name in enumerate(case.classes):
        right = rows[number][number]
        union = sum(rows[number]) + sum(row[number] for row in rows) - right
        if protocol == "dwl" and case.benchmark == "loveda":
            union += ignored[number]
        iou = right / union if union else 0.0 if protocol == "official" else None
        if iou is not None and protocol == "dwl":
            iou = round(100 * iou, 2) / 100
        if name != left_out:
            values[name] = iou
    return values


def mean(protocol: str, values: dict[str, float | None]) -> float | None:
    """The mean over classes; DWL's code has no mean if a class is absent, and ours excludes such classes."""
    present = [value for value in values.values() if value is not None]
    if protocol == "dwl" and len(present) < len(values):
        return None
    return sum(present) / len(present)


def pixels(path: Path, scene: Scene) -> np.ndarray:
    """A scene's part of a file."""
    with Image.open(path) as image:
        whole = np.asarray(image)
    if scene.window is None:
        return whole
    left, top = scene.window.left, scene.window.top
    return whole[top : top + scene.height, left : left + scene.width]


def mapped(dataset: Dataset, run: Path, folder: Path) -> list[Path]:
    """Maps of GeoTIFFs of all test scenes, and of one more that has data in a part only."""
    rasters, places = folder / "rasters", []
    rasters.mkdir()
    for number, scene in enumerate(dataset.splits["test"]):
        bands = np.moveaxis(pixels(dataset.root / scene.image, scene), 2, 0)
        places.append(TRANSFORM @ rasterio.Affine.translation(512 * number, 0))
        write_tiff(rasters / f"{number:02}.tif", bands, transform=places[-1])
    part = np.maximum(bands, 1)
    part[:, :COLLAR] = part[:, :, :COLLAR] = 0
    write_tiff(rasters / "part.tif", part, transform=places[-1], nodata=0)
    printed = rsmtdf("predict", run, rasters, "--out", folder / "maps")
    *maps, partial = sorted((folder / "maps").glob("*.tif"))
    for path, georeference in zip([*maps, partial], [*places, places[-1]], strict=True):
        assert str(path) in printed
        ids = lies_where_its_raster_lies(path, rasters / path.name, georeference, dataset.manifest)
        known = np.full(ids.shape, True)
        if path == partial:
            known[:COLLAR] = known[:, :COLLAR] = False
        assert (ids[~known] == IGNORED).all()
        assert ids[known].max() < len(dataset.manifest.classes)
    return maps


def lies_where_its_raster_lies(
    path: Path, raster: Path, georeference: object, manifest: Manifest
) -> Ids:
    with rasterio.open(path) as dataset_read, rasterio.open(raster) as expected:
        assert (dataset_read.crs, dataset_read.transform) == (CRS, georeference)
        assert (dataset_read.width, dataset_read.height) == (expected.width, expected.height)
        assert (dataset_read.count, dataset_read.nodata) == (1, IGNORED)
        table = dataset_read.colormap(1)
        for number, spec in enumerate(manifest.classes):
            assert table[number] == (*bytes.fromhex(spec.color[1:]), 255)
        assert table[IGNORED] == (0, 0, 0, 0)
        return dataset_read.read(1)


def agree_with_the_truth(case: Case, dataset: Dataset, maps: list[Path], report: dict) -> None:
    """The maps' pixels, counted against the published masks, are those that were scored."""
    count = len(case.classes)
    confusion, ignored = np.zeros(count**2, int), np.zeros(count, int)
    for path, scene in zip(maps, dataset.splits["test"], strict=True):
        with rasterio.open(path) as dataset_read:
            ids = dataset_read.read(1).astype(int)
        truth = case.truth(pixels(dataset.root / scene.mask, scene))
        known = truth != IGNORED
        confusion += np.bincount(truth[known] * count + ids[known], minlength=count**2)
        ignored += np.bincount(ids[~known], minlength=count)
    scored = np.array(report["confusion"])
    assert (scored.sum(axis=0) > scored.sum() / 100).sum() > 1, "a map of one class shows nothing"
    assert confusion.sum() == scored.sum()
    # Sums round by how windows are batched, which may turn a pixel here or there.
    few = confusion.sum() / 1000
    assert np.abs(confusion - scored.ravel()).sum() <= few
    assert np.abs(ignored - report["ignored"]).sum() <= few


def told_on_the_page(
    case: Case, report: dict, printed: str, weights: Path | None, path: Path, run: Path
) -> None:
    assert f"report {path}" in rsmtdf("report", run, "--out", path, "--scenes", 1)
    page = path.read_text()
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    assert case.title in text
    rules = {
        scores["protocol"]: scores["protocol_description"] for scores in (report, *report["others"])
    }
    named = re.findall(r"Protocol (\w+)\. ", text)
    assert tuple(named) == PROTOCOLS
    for name in named:
        assert f"Protocol {name}. {rules[name]}" in text
    assert f"{100 * report['scores']['miou']:.2f}" in text
    for word in (*case.classes, *report["notes"], run.name):
        assert word in text
        assert word in printed
    if weights is not None:
        assert f"weights {file_sha256(weights)}" in text
    assert ("RANDOM WEIGHTS" in text) == (weights is None)
    addresses = re.findall(r"""(?:src|href|action|data|poster)=["']?([^"'\s>]*)""", page)
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"https?:|url\((?!#)|@import|fetch\(|XMLHttpRequest|WebSocket", page)
