"""Verbs on the cache."""

import pytest

import rsmtdf
from rsmtdf_core.errors import RsmtdfError


def test_verbs_of_the_cache(extracted, tmp_path):
    cache = extracted["runtime"]["cache"]
    keys = [entry.key for entry in rsmtdf.cache.ls(cache).stores if entry.codec.startswith("fp16")]
    assert len(keys) == 2
    assert rsmtdf.cache.info("vit", cache=cache).key in keys
    report = rsmtdf.cache.verify(keys, config=extracted, depth="quick")
    assert [store.store for store in report.stores] == keys
    assert report.failed == 0
    transcoded = rsmtdf.cache.transcode("cnn", "int8", cache=cache)
    assert transcoded.new == transcoded.views == 20
    config = rsmtdf.load_config(extracted, {"teachers.cnn.codec": "int8"})
    assert set(rsmtdf.open_features(config).shapes) == {"vit", "cnn"}
    with pytest.raises(RsmtdfError):
        rsmtdf.cache.ls(tmp_path / "none")
