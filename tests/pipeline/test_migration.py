"""Configs from before methods, families and codecs had separate keys load with the same meaning."""

import copy

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import load_config
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.validation import dump_yaml

# The keys in earlier run folders: those of all methods, and the quality next to the codec.
OLD_OBJECTIVE = {
    "method": "rs-mtdf",
    "confidence": 0.9,
    "teachers": "cached",
    "distillation": {"loss": "cosine", "samples": "labeled", "padding": False, "teachers": ["vit"]},
}
OWN_KEYS = {
    "supervised": set(),
    "fixmatch": {"confidence"},
    "unimatch-v2": {"confidence"},
    "rs-mtdf": {"confidence", "teachers", "distillation"},
}


def declared(codec: str, quality: float) -> dict[str, object]:
    """A codec as stores name it since their first version."""
    return {"name": codec, "format": 1} | ({"quality": quality} if codec == "transform" else {})


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(
    method=st.sampled_from(sorted(OWN_KEYS)),
    codec=st.sampled_from(["fp16", "int8", "transform"]),
    quality=st.floats(0.5, 0.999),
    teachers=st.sampled_from(["cached", "online"]),
    confidence=st.floats(0, 1),
)
def test_an_old_config_loads_with_the_same_values(
    config_file, method, codec, quality, teachers, confidence
):
    values = yaml.safe_load(config_file.read_text())
    changed = {"method": method, "teachers": teachers, "confidence": confidence}
    values["objective"] = copy.deepcopy(OLD_OBJECTIVE) | changed
    for teacher in values["teachers"]:
        teacher |= {"codec": codec, "quality": quality}
    old = config_file.with_name("old.yaml")
    old.write_text(yaml.safe_dump(values))
    config = load_config(str(old))
    assert [teacher.declared_codec for teacher in config.teachers] == [declared(codec, quality)] * 2
    method_settings = {"method": method} | {
        key: values["objective"][key] for key in OWN_KEYS[method]
    }
    assert config.objective == type(config.objective).model_validate(method_settings)
    assert config.teacher_source == (teachers if method == "rs-mtdf" else "none")
    assert [teacher.name for teacher in config.distilled] == ["vit"] * (method == "rs-mtdf")
    new = config_file.with_name("new.yaml")
    new.write_text(dump_yaml(config))
    assert load_config(str(new)) == config


FORMS = {
    "old": {"codec": "transform", "quality": 0.98},
    "short": {"codec": "transform"},
    "new": {"codec": {"name": "transform", "quality": 0.98}},
    "none": {},
}


@pytest.mark.parametrize(
    ("form", "overrides", "expected"),
    [
        ("old", [], declared("transform", 0.98)),
        ("new", [], declared("transform", 0.98)),
        ("none", [], declared("fp16", 0)),
        ("old", ["codec=int8"], declared("int8", 0)),
        ("new", ["codec=int8"], declared("int8", 0)),
        # The quality is kept while the codec stays or comes back.
        ("old", ["codec=transform"], declared("transform", 0.98)),
        ("new", ["codec=transform"], declared("transform", 0.98)),
        ("new", ["codec=int8", "codec=transform"], declared("transform", 0.98)),
        ("old", ["quality=0.9"], declared("transform", 0.9)),
        ("new", ["quality=0.9"], declared("transform", 0.9)),
        ("new", ["codec.quality=0.9"], declared("transform", 0.9)),
        ("short", ["codec.quality=0.9"], declared("transform", 0.9)),
        ("none", ["codec=transform", "quality=0.9"], declared("transform", 0.9)),
        ("none", ["quality=0.9", "codec=transform"], declared("transform", 0.9)),
        ("none", ["codec=transform", "codec.quality=0.9"], declared("transform", 0.9)),
        ("none", ["codec.name=transform"], declared("transform", 0.99)),
        ("none", ["codec={name: transform, quality: 0.9}"], declared("transform", 0.9)),
        ("none", ["quality=0.9"], declared("fp16", 0)),
    ],
)
def test_overrides_of_either_form_reach_files_of_either_form(
    config_file, form, overrides, expected
):
    values = yaml.safe_load(config_file.read_text())
    values["teachers"][0] |= FORMS[form]
    config_file.write_text(yaml.safe_dump(values))
    config = load_config(str(config_file), [f"teachers.vit.{override}" for override in overrides])
    assert config.teachers[0].declared_codec == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teachers.vit.quality=2", "teachers.0.codec.quality: expected less than 1, found 2"),
        ("teachers.vit.codec=uint8", "teachers.0.codec.name: expected one of fp16, int8"),
        ("teachers.vit.codec.qualty=0.9", "did you mean 'quality'"),
        (
            "teachers.vit.family=tim",
            "teachers.0.family: expected one of timm, open_clip, olmoearth",
        ),
        ("objective.distillation.loss=mes", "objective.distillation.loss: expected 'mse'"),
        ("objective.confidnce=0.5", "did you mean 'confidence'"),
        ("objective=fixmach", "objective.method: expected one of supervised, fixmatch"),
    ],
)
@pytest.mark.parametrize("method", ["rs-mtdf", "fixmatch"])
def test_wrong_keys_and_values_are_refused_whatever_part_is_chosen(
    config_file, method, override, message
):
    with pytest.raises(ConfigError) as refusal:
        load_config(str(config_file), [f"objective.method={method}", override])
    assert message in refusal.value.what
    assert refusal.value.where == f"--set {override}"


def test_a_method_named_alone_keeps_the_keys_of_the_file(config_file):
    config = load_config(str(config_file), ["objective=unimatch-v2"])
    keys = config.objective.model_dump(exclude_unset=True)
    assert keys == {"method": "unimatch-v2", "confidence": 0.3}
