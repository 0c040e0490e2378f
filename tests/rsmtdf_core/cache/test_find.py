from pathlib import Path

import pytest

from rsmtdf_core.cache.find import find_store
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.errors import StoreIncompleteError, StoreMismatchError, StoreNotFoundError
from rsmtdf_core.store.store import FeatureStore

KNOWN = {"model": "tiny", "weights_sha256": "a" * 64, "preprocessing": {"mean": [0.5, 0.5, 0.5]}}
UNKNOWN = {**KNOWN, "weights_sha256": None}
FP16, INT8 = declare_codec("fp16"), declare_codec("int8")
OTHER = {**KNOWN, "weights_sha256": "b" * 64}


@pytest.mark.parametrize("declared", [KNOWN, UNKNOWN])
def test_the_store_is_found_with_and_without_the_weights(
    store: FeatureStore, make, tmp_path: Path, declared
) -> None:
    assert find_store(tmp_path, make(), declared, FP16).path == store.path


def test_a_store_that_was_not_committed_does_not_compete(make, extract, tmp_path: Path) -> None:
    committed = extract(make(), KNOWN)
    extract(make(), OTHER, commit=False)
    assert find_store(tmp_path, make(), UNKNOWN, FP16).path == committed.path
    with pytest.raises(StoreIncompleteError, match="never committed"):
        find_store(tmp_path, make(), OTHER, FP16)


def test_several_weights_are_listed(make, extract, tmp_path: Path) -> None:
    extract(make(), KNOWN)
    extract(make(), OTHER)
    with pytest.raises(StoreMismatchError, match="weights_sha256") as raised:
        find_store(tmp_path, make(), UNKNOWN, FP16)
    assert "a" * 64 in str(raised.value)
    assert "b" * 64 in str(raised.value)


def test_existing_stores_are_reported_with_their_differences(
    store: FeatureStore, make, tmp_path: Path
) -> None:
    declared = {**KNOWN, "model": "huge", "preprocessing": {"mean": [0.0, 0.5, 0.5]}}
    with pytest.raises(StoreNotFoundError) as raised:
        find_store(tmp_path, make(), declared, FP16)
    text = str(raised.value)
    assert "model: expected huge, found tiny" in text
    assert "preprocessing.mean: expected [0.0, 0.5, 0.5]" in text
    assert "rsmtdf extract-features" in text
    with pytest.raises(StoreNotFoundError, match=r"codec\.name: expected int8, found fp16"):
        find_store(tmp_path, make(), KNOWN, INT8)


def test_another_plan_finds_no_store(store: FeatureStore, make, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        find_store(tmp_path, make(seed=1), KNOWN, FP16)
    with pytest.raises(StoreIncompleteError, match="27 of the plan's 45"):
        find_store(tmp_path, make(5), KNOWN, FP16)
