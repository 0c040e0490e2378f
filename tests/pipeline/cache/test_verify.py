"""Each check passes on an intact store, fails on a damaged one, and names the file and the remedy."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rsmtdf_core.teachers.teacher as teacher_module
from pipeline.cache.transcode import transcode
from pipeline.cache.verify import verify
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from rsmtdf_core.cache.catalogue import read_catalogue
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.errors import StoreNotFoundError
from rsmtdf_core.kinds import TOKEN_CODECS
from rsmtdf_core.store.commit import write_commit
from rsmtdf_core.store.copies import copy_of
from rsmtdf_core.store.group import VIEWS
from rsmtdf_core.store.ledger import LEDGER
from rsmtdf_core.store.metadata import write_metadata
from rsmtdf_core.store.reader import FeatureReader
from rsmtdf_core.store.tables import write_table
from rsmtdf_core.store.writing import write_block
from rsmtdf_core.teachers.teacher import live_teachers
from tests.caches import make_store

VIT = (
    "teachers=[{name: vit, family: timm, model: test_vit, weights: random, input_size: 80}]",
    "views.unlabeled_views=1",
    "views.labeled_views=1",
)
ALL = ["structure", "checksums", "replay", "drawing", "probe", "features", "alignment"]


@pytest.fixture
def own_scenes(scenes, tmp_path):
    """Scenes that a test may change."""
    return shutil.copytree(scenes, tmp_path / "own")


@pytest.fixture
def config(make_config, own_scenes):
    """A small experiment with one teacher, extracted."""
    extracted = make_config(*VIT, f"data.root={own_scenes}")
    extract(extracted)
    return extracted


def _verify(config, depth="normal", *, given=True):
    cache = config.runtime.cache_folder
    report = verify(cache, config=config if given else None, depth=depth)
    [store] = report.stores
    checks = {check.name: check for check in store.checks}
    assert report.failed == sum(check.status == "failed" for check in checks.values())
    return checks


def _store(config):
    [entry] = read_catalogue(config.runtime.cache_folder).stores
    return entry.store


def _failed(checks):
    failed = [check for check in checks.values() if check.status == "failed"]
    assert all(check.where and check.remedy and check.sentence for check in failed)
    return [check.name for check in failed]


def _rewrite(store, change):
    """Rewrite all records as changed by `change`, with correct checksums."""
    reader = FeatureReader(store, np.arange(store.metadata.rows))
    rows = np.flatnonzero(store.group.table["scene"] >= 0)
    tokens = change(np.stack([reader.tokens(row) for row in rows.tolist()]))
    records = dict(zip(rows.tolist(), tokens, strict=True))
    for block in store.blocks(rows):
        store.append(write_block(store.path, block, (records.get(row) for row in block)))
    store.commit(rows, 0.0)


def test_a_good_store_passes_every_check(config):
    for depth in ("normal", "deep"):
        checks = _verify(config, depth)
        assert [*checks] == ALL
        assert {check.status for check in checks.values()} == {"ok"}, checks
    assert "10 committed records" in checks["structure"].sentence
    assert "10 of 10 crops" in checks["replay"].sentence
    assert "10 records fit their own view best" in checks["alignment"].sentence
    margins = [float(word) for word in checks["alignment"].sentence.split() if word[0] in "+-"]
    assert min(margins) > 0.01
    assert live_teachers() == 0


def test_flipped_and_turned_views_pass_every_check(make_config):
    on = ("views.vertical_flip=0.5", "views.quarter_turns=1", "runtime.cache_pixels=true")
    oriented = make_config(*VIT, *on)
    extract(oriented)
    turns = plan_experiment(oriented).plan.table["quarter_turns"]
    assert set(turns.tolist()) == {0, 1, 2, 3}
    report = verify(oriented.runtime.cache_folder, config=oriented, depth="deep")
    assert len(report.stores) == 2
    assert {check.status for store in report.stores for check in store.checks} == {"ok"}, report


def test_checks_that_need_a_config_are_skipped_without_it(config):
    checks = _verify(config, given=False)
    status = {name: check.status for name, check in checks.items()}
    assert [name for name in ALL if status[name] == "ok"] == ["structure", "checksums", "drawing"]
    assert {check.sentence for check in checks.values() if check.status == "skipped"} == {
        "give --config"
    }


def test_quick_leaves_the_records_alone(config):
    checks = _verify(config, "quick")
    assert [name for name, check in checks.items() if check.status == "skipped"] == ["checksums"]
    assert "4 records fit" in checks["alignment"].sentence


@pytest.mark.parametrize("codec", list(TOKEN_CODECS))
def test_the_loss_of_a_codec_is_no_fault(make_config, codec):
    extracted = make_config(f"teachers.vit.codec={codec}", f"teachers.cnn.codec={codec}")
    extract(extracted)
    report = verify(extracted.runtime.cache_folder, config=extracted)
    assert len(report.stores) == 2
    assert {check.status for store in report.stores for check in store.checks} == {"ok"}, report


def test_a_transcoded_store_is_measured_by_all_its_steps(config):
    store = _store(config)
    transcode(store, declare_codec("int8"))
    report = verify(config.runtime.cache_folder, config=config)
    assert [len(store.checks) for store in report.stores] == [7, 7]
    assert {check.status for store in report.stores for check in store.checks} == {"ok"}, report


def test_a_flipped_byte_is_found(config):
    store = _store(config)
    shard = store.shard_path(0)
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    checks = _verify(config, given=False)
    assert _failed(checks) == ["checksums"]
    assert checks["checksums"].where == str(shard)
    assert "record 0" in checks["checksums"].sentence


def test_a_flipped_byte_of_an_index_is_a_fault_of_the_structure(config):
    shard = _store(config).shard_path(0)
    content = bytearray(shard.read_bytes())
    content[-6] ^= 1
    shard.write_bytes(content)
    checks = _verify(config)
    assert _failed(checks) == ["structure", "checksums"]
    assert checks["features"].sentence == "the structure is damaged"


@pytest.mark.parametrize("name", ["zarr.json", LEDGER, "commit.json", "parameters.safetensors"])
def test_a_changed_file_is_named(config, name):
    path = _store(config).path / name
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    checks = _verify(config)
    assert "structure" in _failed(checks)
    assert checks["structure"].where == str(path)


@pytest.mark.parametrize("name", ["views.npy", "crops.npy", "scenes.json", "zarr.json"])
def test_a_changed_table_of_the_group_is_a_fault_of_its_stores(config, name):
    path = _store(config).group.path / name
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    checks = _verify(config)
    assert "structure" in _failed(checks)
    assert Path(checks["structure"].where) in (path, path.parent)


def test_a_missing_shard_is_named(config):
    shard = _store(config).shard_path(0)
    shard.unlink()
    checks = _verify(config)
    assert _failed(checks) == ["structure", "checksums"]
    assert checks["structure"].where == str(shard)


@pytest.mark.parametrize("name", ["notes.txt", "c/more", "c/9999/0/0/0", "link"])
def test_a_foreign_file_is_named(config, name):
    path = _store(config).path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name == "link":
        path.symlink_to("/etc/hostname")
    else:
        path.write_text("x")
    checks = _verify(config, given=False)
    assert _failed(checks) == ["structure"]
    assert checks["structure"].where == str(path)


def test_leftovers_of_a_killed_process_are_reported_and_no_fault(config):
    shard = _store(config).shard_path(0)
    shard.with_name(f"0.tmp-{'a' * 32}").write_bytes(b"x")
    checks = _verify(config, given=False)
    assert _failed(checks) == []
    assert "1 temporary files" in checks["structure"].sentence


def test_a_commit_that_promises_other_numbers_is_refused(config):
    store = _store(config)
    write_commit(store.path, replace(store.read_commit(), views=11))
    checks = _verify(config, given=False)
    assert _failed(checks) == ["structure"]
    assert "commit has 11 records" in checks["structure"].sentence


def test_a_record_without_a_view_is_refused(config):
    store = _store(config)
    table = np.array(store.group.table)
    table[9:] = table[-1]
    write_table(store.group.path / VIEWS, table)
    checks = _verify(config, given=False)
    assert _failed(checks) == ["structure"]
    assert "have no view" in checks["structure"].sentence


def test_an_unfinished_store_is_reported_and_no_fault(tmp_path):
    make_store(tmp_path, commit=False)
    report = verify(tmp_path)
    [store] = report.stores
    assert [(check.name, check.status) for check in store.checks[:2]] == [
        ("structure", "skipped"),
        ("checksums", "ok"),
    ]
    assert "never committed" in store.checks[0].sentence
    assert report.failed == 0


@pytest.mark.parametrize("by", [1, -1])
def test_rows_that_are_shifted_by_one_are_found(config, by):
    _rewrite(_store(config), lambda tokens: np.roll(tokens, by, axis=0))
    checks = _verify(config)
    assert _failed(checks) == ["features", "alignment"]
    assert "fit another view better" in checks["alignment"].sentence


def test_mirrored_tokens_are_found(config):
    _rewrite(_store(config), lambda tokens: tokens[:, :, ::-1])
    assert _failed(_verify(config)) == ["features", "alignment"]


def test_tokens_of_mirrored_views_are_found(make_config, monkeypatch):
    tokens = teacher_module.Teacher.tokens
    with monkeypatch.context() as patch:
        patch.setattr(
            teacher_module.Teacher, "tokens", lambda self, images: tokens(self, images.flip(-1))
        )
        extract(extracted := make_config(*VIT))
    checks = _verify(extracted)
    assert _failed(checks) == ["features", "alignment"]
    assert "mirrored 1.0000" in checks["alignment"].sentence


def test_tokens_of_another_scale_are_found(config):
    _rewrite(_store(config), lambda tokens: tokens * 1.05)
    assert "features" in _failed(_verify(config))


def test_other_weights_under_a_forged_identity_are_found(make_config, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(teacher_module, "_random_name", lambda settings: "random:0")
        extract(make_config(*VIT, "teachers.vit.seed=1"))
    checks = _verify(make_config(*VIT))
    failed = _failed(checks)
    assert failed[:2] == ["probe", "features"]
    assert checks["replay"].status == "ok"


def test_a_teacher_that_the_config_does_not_name_is_skipped(config, make_config):
    other = make_config(*VIT, f"data.root={config.data.root}", "teachers.vit.seed=1")
    checks = _verify(other)
    assert _failed(checks) == []
    assert "does not list the teacher" in checks["probe"].sentence
    assert "random:1" in checks["probe"].sentence
    assert checks["replay"].status == "ok"


def test_weights_that_are_not_here_are_not_fetched(config, make_config):
    store = _store(config)
    identity = {**store.metadata.identity, "weights_sha256": "a" * 64}
    facts = replace(store.facts, metadata=replace(store.metadata, identity=identity))
    store.path.rename(path := store.path.with_name(facts.folder_name))
    write_metadata(path, facts)
    here = make_config(*VIT, f"data.root={config.data.root}", "teachers.vit.weights=gone.pth")
    checks = _verify(here)
    assert _failed(checks) == []
    assert checks["probe"].sentence == "the weights of vit are not on this machine"


def _redraw(path):
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[:] = pixels[::-1, ::-1].copy()
    Image.fromarray(pixels).save(path)


def test_an_edited_image_is_named(config):
    experiment = plan_experiment(config)
    path = config.data.root / experiment.plan.scenes[0].image
    _redraw(path)
    checks = _verify(config)
    assert _failed(checks) == ["replay"]
    assert checks["replay"].where == str(path)


def test_a_renderer_that_renders_otherwise_is_found(config, monkeypatch):
    from rsmtdf_core.views.render import ViewRenderer

    weak = ViewRenderer.weak
    monkeypatch.setattr(ViewRenderer, "weak", lambda self, row: weak(self, row)[:, ::-1])
    checks = _verify(config)
    assert _failed(checks) == ["replay", "features", "alignment"]
    assert "rendered differently now" in checks["replay"].sentence


def test_views_that_were_drawn_otherwise_are_found(config):
    store = _store(config)
    table = np.array(store.group.table)
    table["left"][3] += 1
    for path in (store.group.path / VIEWS, copy_of(store.group.path / VIEWS)):
        write_table(path, table)
    assert _failed(_verify(config, given=False)) == ["drawing"]


def test_views_of_a_grown_cache_are_drawn_and_rendered_whatever_their_pairs(make_config):
    vit = VIT[0]
    extract(make_config(vit, "data.labeled=1/2"))
    extract(extracted := make_config(vit, "data.labeled=1/4"))
    checks = _verify(extracted, "deep")
    assert {check.status for check in checks.values()} == {"ok"}, checks
    assert int((_store(extracted).group.table["scene"] >= 0).sum()) > 20


def test_scenes_that_are_gone_are_counted(config):
    scene = plan_experiment(config).plan.scenes[0]
    (config.data.root / scene.image).unlink()
    checks = _verify(config)
    assert _failed(checks) == []
    assert "scenes that the config's data lack" in checks["replay"].sentence


@pytest.fixture
def pixels(make_config, own_scenes):
    """The same experiment's pixels, without a teacher."""
    extracted = make_config(
        "teachers=[]", "runtime.cache_pixels=true", *VIT[1:], f"data.root={own_scenes}"
    )
    extract(extracted)
    return extracted


def test_pixels_are_rendered_again(pixels):
    checks = _verify(pixels, "deep")
    assert [*checks] == ["structure", "checksums", "replay", "drawing", "masks"]
    assert {check.status for check in checks.values()} == {"ok"}, checks


def test_an_edited_mask_is_named(pixels):
    plan = plan_experiment(pixels).plan
    path = pixels.data.root / plan.scenes[plan.labeled_scenes[0]].mask
    _redraw(path)
    checks = _verify(pixels)
    assert _failed(checks) == ["replay", "masks"]
    assert checks["masks"].where == str(path)


def test_edited_pixels_are_found(pixels):
    store = _store(pixels)
    reader = FeatureReader(store, np.arange(store.metadata.rows))
    rows = np.flatnonzero(store.group.table["scene"] >= 0)
    records = np.empty((len(rows), *store.codec.stored_shape), np.uint8)
    reader.gather(rows, records)
    records[4, 3, 3] ^= 1
    for block in store.blocks(rows):
        kept = dict(zip(rows.tolist(), records, strict=True))
        store.append(write_block(store.path, block, (kept.get(row) for row in block)))
    store.commit(rows, 0.0)
    checks = _verify(pixels)
    assert _failed(checks) == ["replay"]
    assert "1 of 10 records" in checks["replay"].sentence


def test_a_missing_store_is_reported(tmp_path):
    make_store(tmp_path)
    with pytest.raises(StoreNotFoundError, match="no store 'x'"):
        verify(tmp_path, ["x"])
