import json
import shutil
from pathlib import Path

import pytest

import data_manifests
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from pipeline.train.run import train


@pytest.fixture
def data(scenes: Path, tmp_path: Path) -> Path:
    """Eight of the drawn scenes; `more` brings the other six."""
    for path in sorted(scenes.glob("*/*.png")):
        number = int(path.stem)
        folder = tmp_path / ("data" if number < 8 else "more") / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    return tmp_path / "data"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """All scenes are for training."""
    text = Path(data_manifests.__file__).with_name("synthetic.yaml").read_text()
    path = tmp_path / "all.yaml"
    path.write_text(f"{text[: text.index('splits:')]}splits:\n  train: {{share: [0.0, 1.0]}}\n")
    return path


def _shards(cache: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(cache)): path.read_bytes()
        for path in cache.glob("*/*/c/**/*")
        if path.is_file()
    }


def test_added_scenes_views_labels_and_teachers_cost_only_new_records(
    make_config, data, manifest, tmp_path
):
    dataset = (f"data.root={data}", f"data.manifest={manifest}")
    vit = json.dumps([make_config().teachers[0].model_dump(mode="json")])
    small = (*dataset, "views.unlabeled_views=1", "views.labeled_views=1", f"teachers={vit}")
    first = extract(make_config(*small))
    fingerprint = plan_experiment(make_config(*small)).plan.fingerprint
    cache = make_config().runtime.cache_folder
    before = _shards(cache)

    shutil.copytree(tmp_path / "more", data, dirs_exist_ok=True)
    large = make_config(*dataset, "data.labeled=1/4")
    second = extract(large)
    assert second.group == first.group
    vit_store, cnn_store = second.stores
    assert (cnn_store.teacher, cnn_store.new) == ("cnn", second.views)
    # The difference is due to views that only the small plan has: of scenes that became labeled, and their partners.
    assert second.views - first.views <= vit_store.new <= second.views - first.views + 4
    after = _shards(cache)
    assert before.items() <= after.items()
    train(large)

    for path in (tmp_path / "more").glob("*/*"):
        (data / path.relative_to(tmp_path / "more")).unlink()
    assert plan_experiment(make_config(*small)).plan.fingerprint == fingerprint
    assert extract(make_config(*small)).rendered == 0
    assert _shards(cache) == after


def test_another_share_of_labels_shares_most_of_the_features(make_config, data, manifest):
    dataset = (f"data.root={data}", f"data.manifest={manifest}")
    first = extract(make_config(*dataset, "data.labeled=1/8"))
    second = extract(make_config(*dataset, "data.labeled=1/4"))
    assert second.group == first.group
    assert 0 < second.rendered <= second.views // 2
