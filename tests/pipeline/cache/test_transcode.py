"""Transcoded stores: their tokens, their metadata, and resuming after a kill."""

import json

import numpy as np
import pytest

import pipeline.cache.transcode
from pipeline.cache.transcode import transcode
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from pipeline.train.features import find_features
from pipeline.train.run import train
from rsmtdf_core.cache.catalogue import SET_ASIDE, read_catalogue
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.errors import (
    ConfigError,
    StoreDamagedError,
    StoreError,
    StoreIncompleteError,
    StoreMismatchError,
)
from rsmtdf_core.store.reader import FeatureReader
from tests.caches import make_store, tree
from tests.damages import run_remedy

INT8, FP16 = declare_codec("int8"), declare_codec("fp16")


def _rows(store):
    return np.flatnonzero(store.group.table["scene"] >= 0)


def _tokens(store):
    reader = FeatureReader(store, np.arange(store.metadata.rows))
    return np.stack([reader.tokens(row) for row in _rows(store).tolist()])


def _opened(cache, path):
    return next(entry.store for entry in read_catalogue(cache).stores if entry.path == path)


class _Heard:
    """A reporter that records its messages."""

    def __init__(self):
        self.warnings, self.moved = [], 0

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return None

    def bar(self, label, total, done=0, **options):
        self.total = total
        self.moved += done
        return self

    def advance(self, count=1, note=""):
        self.moved += count

    def say(self, text):
        raise AssertionError(text)

    def warn(self, text):
        self.warnings.append(text)


def test_the_new_store_has_the_records_and_names_their_source(tmp_path):
    source = make_store(tmp_path)
    heard = _Heard()
    report = transcode(source, INT8, heard)
    assert (report.views, report.new) == (18, 18)
    assert (heard.moved, heard.total, heard.warnings) == (18, 18, [])
    target = _opened(tmp_path, report.path)
    np.testing.assert_allclose(_tokens(target), _tokens(source), atol=0.03)
    assert target.metadata.identity == source.metadata.identity
    assert target.metadata.probe == source.metadata.probe
    commit = source.read_commit()
    assert target.metadata.source == {
        "codec": FP16,
        "certificate": commit.certificate,
        "lossy": False,
        "source": None,
    }
    assert 0.999 < report.certificate["centred_cosine"]["mean"] < 1
    assert target.read_commit().seconds < report.seconds
    assert not target.verify()


def test_a_second_time_it_is_there_already(tmp_path):
    source = make_store(tmp_path)
    transcode(source, INT8)
    before = tree(tmp_path)
    assert transcode(source, INT8).new == 0
    assert tree(tmp_path) == before


def test_a_store_that_the_teacher_made_is_there_already(tmp_path):
    source = make_store(tmp_path)
    target = make_store(tmp_path, codec="int8")
    report = transcode(source, INT8)
    assert (report.path, report.new, report.warning) == (target.path, 0, "")
    assert _opened(tmp_path, target.path).metadata.source is None


def test_records_of_two_kinds_are_never_in_one_store(tmp_path):
    source = make_store(tmp_path)
    unfinished = make_store(tmp_path, codec="int8", commit=False)
    with pytest.raises(StoreMismatchError, match="records from the teacher"):
        transcode(source, INT8)
    assert unfinished.read_commit() is None


def test_the_store_in_the_way_is_moved_as_proposed(tmp_path):
    source = make_store(tmp_path)
    unfinished = make_store(tmp_path, codec="int8", commit=False)
    before = {
        name: tree(path)
        for name, path in (("in the way", unfinished.path), ("source", source.path))
    }
    with pytest.raises(StoreMismatchError) as refused:
        transcode(source, INT8)
    run_remedy(refused.value.remedy, {}, 1, follow=False)
    [aside] = (tmp_path / SET_ASIDE).glob("1/*/*")
    assert tree(aside) == before["in the way"]
    assert tree(source.path) == before["source"]
    assert transcode(source, INT8).path == unfinished.path


def test_a_killed_transcoding_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    # In shards of four records: five of them.
    whole, part = make_store(tmp_path / "whole"), make_store(tmp_path / "part")
    transcode(whole, INT8, shard_bytes=512)
    write = pipeline.cache.transcode.write_block
    written = []

    def write_then_die(*args):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(args)
        return write(*args)

    monkeypatch.setattr(pipeline.cache.transcode.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(pipeline.cache.transcode, "write_block", write_then_die)
    with pytest.raises(KeyboardInterrupt):
        transcode(part, INT8, shard_bytes=512)
    [killed] = [
        entry for entry in read_catalogue(tmp_path / "part").stores if entry.codec == "int8"
    ]
    assert killed.state == "unfinished"
    assert len(killed.store.entries()) == 2
    monkeypatch.setattr(pipeline.cache.transcode, "write_block", write)
    report = transcode(part, INT8, shard_bytes=512)
    assert 0 < report.new < 18
    files = {name: tree(tmp_path / name) for name in ("whole", "part")}
    for name, content in files["whole"].items():
        if not name.endswith("commit.json"):  # which tells the seconds
            assert files["part"][name] == content, name
    assert files["whole"].keys() == files["part"].keys()


def test_new_records_of_the_source_are_added_and_others_stay(tmp_path):
    source = make_store(tmp_path, views=1)
    before = tree(transcode(source, INT8).path / "c")
    report = transcode(make_store(tmp_path, views=2), INT8)
    assert (report.views, report.new) == (18, 9)
    after = tree(report.path / "c")
    assert all(after[name] == content for name, content in before.items())


def test_a_second_loss_is_reported_and_recorded(tmp_path):
    source = make_store(tmp_path, codec="int8")
    heard = _Heard()
    half = transcode(source, FP16, heard)
    assert "as int8 had reduced them" in heard.warnings[0]
    target = _opened(tmp_path, half.path)
    assert target.metadata.source["lossy"] is True
    np.testing.assert_allclose(_tokens(target), _tokens(source), rtol=2**-11)


def test_lossy_twice_is_a_step_down(tmp_path):
    int8 = _opened(tmp_path, transcode(make_store(tmp_path), INT8).path)
    heard = _Heard()
    report = transcode(int8, declare_codec("transform", quality=0.9), heard)
    assert heard.warnings == [report.warning]
    assert "source is already lossy" in report.warning
    origin = _opened(tmp_path, report.path).metadata.source
    assert (origin["codec"], origin["lossy"]) == (INT8, True)
    assert (origin["source"]["codec"], origin["source"]["lossy"]) == (FP16, False)


def test_invalid_sources_are_refused(tmp_path, monkeypatch):
    source = make_store(tmp_path)
    with pytest.raises(ConfigError, match="already has the codec fp16"):
        transcode(source, FP16)
    with pytest.raises(ConfigError, match="for pixels"):
        transcode(source, declare_codec("uint8"))
    with pytest.raises(StoreIncompleteError, match="committed"):
        transcode(make_store(tmp_path, teacher="open", commit=False), INT8)
    usage = pipeline.cache.transcode.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        pipeline.cache.transcode.shutil, "disk_usage", lambda _: usage._replace(free=10)
    )
    with pytest.raises(StoreError, match="are free on the disk"):
        transcode(source, INT8)


def test_a_damaged_record_is_not_carried_over(tmp_path):
    source = make_store(tmp_path)
    shard = source.shard_path(0)
    content = bytearray(shard.read_bytes())
    content[5] ^= 1
    shard.write_bytes(content)
    with pytest.raises(StoreDamagedError, match="checksum"):
        transcode(source, INT8)
    assert all(entry.state != "committed" for entry in read_catalogue(tmp_path).stores[1:])


def test_training_finds_the_transcoded_stores(make_config):
    config = make_config()
    extract(config)
    for entry in read_catalogue(config.runtime.cache_folder).stores:
        transcode(entry.store, INT8)
    wanted = make_config("teachers.vit.codec=int8", "teachers.cnn.codec=int8", "optimiser.epochs=1")
    features = find_features(plan_experiment(wanted), "cpu")
    assert all("int8" in lock["store"] for lock in features.lock["stores"].values())
    report = train(wanted)
    lines = (report.run / "metrics.jsonl").read_text().splitlines()
    assert any("loss_distill" in json.loads(line) for line in lines)
    assert [store.new for store in extract(wanted).stores] == [0, 0]


def test_pixels_are_not_transcoded(make_config):
    config = make_config("runtime.cache_pixels=true", "teachers=[]")
    extract(config)
    [entry] = read_catalogue(config.runtime.cache_folder).stores
    with pytest.raises(StoreError, match="pixels, not tokens"):
        transcode(entry.store, INT8)
