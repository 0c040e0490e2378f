"""Every content of a manifest file is either a manifest or a clear error."""

from contextlib import suppress

import pytest
from hypothesis import given, settings

from rsmtdf_core.errors import ConfigError, RsmtdfError
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.validation import dump_yaml, validate
from tests.hostile_yaml import places, texts

from .conftest import manifest_values

LINES = dump_yaml(load_manifest("loveda")).splitlines()


@settings(max_examples=100)
@given(text=texts | places(LINES))
def test_any_text_is_a_manifest_or_a_clear_error(tmp_path_factory, text: str):
    path = tmp_path_factory.mktemp("hostile") / "manifest.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with suppress(RsmtdfError):  # and nothing else
        load_manifest(str(path))


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("mask_encoding.offset", {"mask_encoding": {"encoding": "indices", "offset": 10**30}}),
        ("mask_encoding.ignore.0", {"mask_encoding": {"encoding": "indices", "ignore": [10**30]}}),
        ("window.size", {"window": {"size": 10**30, "stride": 1}}),
        ("bands.indices.0", {"bands": {"indices": [10**30, 1, 2]}}),
        ("bands.scale.0.1", {"bands": {"indices": [1, 2, 3], "scale": [0, 1e300]}}),
        ("splits.train.seed", {"splits": {"train": {"seed": 10**30}}}),
        ("name", {"name": "a" * 300}),
    ],
)
def test_a_value_beyond_all_use_is_named_by_its_key(key, changes):
    with pytest.raises(ConfigError, match=rf"^{key}: "):
        validate(Manifest, manifest_values() | changes, "here.yaml")
