"""Windows scored by a protocol of public code give the numbers of prepared, padded crops, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.data.prepare import BENCHMARKS, PrepareSettings, prepare
from pipeline.evaluate.run import evaluate
from pipeline.train.run import train
from pipeline.trained import load_run
from rsmtdf_core.evaluation.counts import PixelCounts
from rsmtdf_core.evaluation.protocols.find import find_protocols
from rsmtdf_core.evaluation.scoring import count_confusion
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.reader import SceneReader

SIZE = 640  # px: 2 x 2 crops, the last of a row or column of 128 px
CROPS = {"labeled": (1,), "unlabeled": (2,), "val": (3,), "test": (4,)}


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Return a function that prepares a small tile of Potsdam and returns the manifest of lists, and the report."""
    small = replace(BENCHMARKS["potsdam"], size=(SIZE, SIZE), counts={"": 1})
    monkeypatch.setitem(BENCHMARKS, "potsdam", small)
    draws = np.random.default_rng(0)
    tiles, share = tmp_path / "tiles", tmp_path / "splits" / "1"
    tiles.mkdir()
    share.mkdir(parents=True)
    ids = draws.integers(0, 6, (20, 20)).repeat(SIZE // 20, 0).repeat(SIZE // 20, 1)
    colors = load_manifest("potsdam").palette[ids]
    noise = draws.integers(0, 60, (SIZE, SIZE, 3))
    for name, pixels in (("label", colors), ("RGB", colors // 2 + noise)):
        path = tiles / f"top_potsdam_2_10_{name}.tif"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    for name, numbers in CROPS.items():
        lines = [
            f"image/top_potsdam_2_10_{number}_RGB.tif label/top_potsdam_2_10_{number}_label.tif\n"
            for number in numbers
        ]
        (share / f"{name}.txt").write_text("".join(lines))

    def prepare_as(to, **settings):
        given = {"benchmark": "potsdam", "source": (tiles,), "splits": (share,), **settings}
        report = prepare(PrepareSettings(to=tmp_path / to, **given))
        return load_manifest(str(report.manifests[0].path)), report

    return prepare_as


@pytest.fixture
def run(prepared, make_config):
    """A training of one step on windows."""
    _, report = prepared("windows")
    config = make_config(
        "objective.method=supervised",
        "optimiser.max_steps=1",
        f"data.manifest={report.manifests[0].path}",
        f"data.root={report.root}",
        "evaluation.every=100",
        "evaluation.inference={mode: whole}",
    )
    train(config)
    return config.run_folder


def counted_plainly(run, manifest, root):
    """The counts of the prepared crops as they are."""
    dataset = find_scenes(manifest, root)
    loaded = load_run(run)
    return count_confusion(
        loaded.student,
        SceneReader(dataset),
        dataset.splits["test"],
        loaded.config.evaluation.inference,
    )


def test_padded_windows_score_as_the_prepared_crops(prepared, run):
    report, _ = evaluate(run, protocols=["official", "dwl", "rsmtdf"])
    manifest, crops = prepared("crops", crops=True, padding_label="dwl")
    counts = counted_plainly(run, manifest, crops.root)
    assert counts.matrix.sum() == 512 * 512
    assert np.array_equal(report.matrix, counts.matrix)
    for rule in find_protocols(["official", "dwl"]):
        scored = report.by_protocol[rule.name]
        assert scored.scores == rule(counts, manifest).scores
        assert scored.crops == (
            "1 window of 512 x 512 px, 1 of them padded at a border as in the published crops: image black, "
            "mask clutter"
        )
    plain = report.by_protocol["rsmtdf"]
    assert plain.crops == "1 window of 512 x 512 px, 1 of them smaller at a border"
    assert sum(row.support for row in plain.scores.classes) == 128 * 128
    # As the official script computes it: impervious is ignored, and the padding is clutter.
    kept = counts.matrix.copy()
    kept[0] = 0
    right = kept.diagonal()
    iou = right / (kept.sum(axis=0) + kept.sum(axis=1) - right + 1e-10)
    assert report.scores.miou == pytest.approx(iou[1:].mean(), abs=1e-12)
    # Our protocol has the counts of windows as they are, alone and with others.
    ours, _ = evaluate(run)
    assert ours.scores == plain.scores
    assert ours.matrix.sum() == 128 * 128
    (official,) = find_protocols(["official"])
    unpadded = official(PixelCounts(ours.matrix, np.array(ours.ignored)), load_run(run).manifest)
    assert unpadded.scores != report.scores
