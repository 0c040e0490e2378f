import pytest
import yaml

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.manifest import Manifest, load_manifest, packaged_manifests
from rsmtdf_core.validation import validate

from .conftest import make_manifest, manifest_values


@pytest.mark.parametrize("name", ["dubai", "folder", "loveda", "synthetic"])
def test_packaged_manifests_are_valid_and_bear_their_files_name(name):
    assert name in packaged_manifests()
    assert load_manifest(name).name == name


def test_a_manifest_is_read_from_a_path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(manifest_values()))
    assert load_manifest(str(path)) == make_manifest()


def test_an_unknown_name_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'dubai'"):
        load_manifest("dubay")


def test_names_ids_and_palette_follow_the_class_order():
    manifest = make_manifest(unscored=["low"])
    assert manifest.class_names == ("low", "high")
    assert manifest.scored_ids == (1,)
    assert manifest.palette.tolist() == [[16, 32, 48], [160, 176, 192]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unscored": ["hihg"]}, "did you mean 'high'"),
        ({"protocols": {"official_ignores": ["lwo"]}}, "did you mean 'low'"),
        (
            {"protocols": {"padding": "lwo"}},
            "protocols.padding names no class: 'lwo', did you mean 'low'",
        ),
        ({"protocols": {"oficial_ignores": []}}, "did you mean 'official_ignores'"),
        ({"unscored": ["low", "high"]}, "every class is unscored"),
        ({"ignore_id": 1}, "ignore_id 1 is the id of a class"),
        ({"classes": [{"name": "a", "color": "#000000"}] * 2}, "class names must differ"),
        ({"classes": [{"name": "a", "color": "red"}]}, "classes.0.color"),
        ({"images": "images/a.png"}, "needs a field"),
        ({"images": "../{name}.png"}, "relative to the data root"),
        ({"images": "*/{name}.png"}, "a star may only occur"),
        ({"masks": "masks/{nam}.png"}, "the same fields"),
        ({"splits": {"train": {"where": {"are": ["x"]}}}}, "'are' is not a field"),
        (
            {"splits": {"train": {"share": [0.5, 0.5]}}},
            "splits.train: share must be two increasing numbers",
        ),
        ({"splits": {"trian": {}}}, "splits.trian"),
        ({"window": {"size": 4, "stride": 5}}, "pixels would be skipped"),
        ({"mask_encoding": {"encoding": "colors", "offset": 1}}, "unknown key 'mask_encoding.off"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_key(changes, message):
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        validate(Manifest, manifest_values(**changes), "mine.yaml")


def test_keys_with_default_values_keep_the_address_of_cached_pixels():
    exact = load_manifest("dubai").mask_encoding.model_dump(mode="json")
    assert exact.keys() == {"encoding", "ignore"}
    assert load_manifest("deepglobe").mask_encoding.model_dump(mode="json")["match"] == "threshold"
