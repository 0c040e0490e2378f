from pathlib import Path

import pytest
import yaml

from pipeline.config import load_config
from pipeline.packaged import find_config, packaged_configs
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.roles import flat
from rsmtdf_core.validation import dump_yaml


@pytest.mark.parametrize("name", sorted(packaged_configs()))
def test_every_packaged_config_is_valid_and_survives_a_round_trip(name, tmp_path):
    config = load_config(name)
    copy = tmp_path / "copy.yaml"
    for excluded in (False, True):
        copy.write_text(dump_yaml(config, excluded=excluded))
        assert load_config(str(copy)) == config
    shown = {key for key, _ in flat(yaml.safe_load(copy.read_text()))}
    assert {"views.vertical_flip", "views.quarter_turns", "views.jitter.p"} <= shown


def test_dubai_and_folder_come_with_the_package():
    assert {"dubai", "folder"} <= packaged_configs().keys()


def test_overrides_reach_nested_keys_and_named_items(config_file):
    config = load_config(
        str(config_file),
        ["views.crop=96", "teachers.cnn.seed=7", "teachers.0.input_size=160", "student.head=base"],
    )
    assert config.views.crop == 96
    assert config.teachers[1].seed == 7
    assert config.teachers[0].input_size == 160
    assert config.student.head == "base"


def test_a_relative_data_root_is_kept_whole(config_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(str(config_file), ["data.root=scenes"])
    assert config.data.root == tmp_path / "scenes"
    (tmp_path / "kept.yaml").write_text(dump_yaml(config))
    monkeypatch.chdir("/")
    assert load_config(str(tmp_path / "kept.yaml")) == config


def test_shares_may_be_fractions(config_file):
    assert load_config(str(config_file), ["data.labeled=1/8"]).data.labeled == 0.125


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("student.widht=3", "student.widht"),
        ("student.encodr=vit", "did you mean 'encoder'"),
        ("views.crop=big", "views.crop"),
        ("data.labeled=0", "data.labeled"),
        ("optimiser.batch=3", "optimiser.batch"),
        ("objective.method=fixmach", "objective.method"),
        ("teachers.dino.seed=1", "no item 'dino'"),
        ("name.x=1", "name is a value"),
        ("seed", "expected key=value"),
        ("teachers.cnn.name=vit", "different names"),
    ],
)
def test_wrong_overrides_are_refused_by_name(config_file, override, message):
    with pytest.raises(ConfigError) as caught:
        load_config(str(config_file), [override])
    assert message in str(caught.value)


OVERLAP = "evaluation.inference.overlap=7"
BATCH = "optimiser.batch=4"
ONLINE = ("objective.teachers=online", "views.teacher_sees=weak")


@pytest.mark.parametrize(
    ("overrides", "faulty"),
    [
        ((OVERLAP,), (OVERLAP,)),
        ((BATCH, OVERLAP, "seed=1"), (OVERLAP,)),
        ((OVERLAP, "student.widht=3", "seed=1"), (OVERLAP, "student.widht=3")),
        # Settings that are wrong only together: the error names another key, or one of two.
        (("seed=1", "teachers.cnn.name=vit"), ("teachers.cnn.name=vit",)),
        (("runtime.accumulate=3", BATCH), ("runtime.accumulate=3",)),
        (("seed=1", *ONLINE), ONLINE),
        (("seed=-1", "seed=-2"), ("seed=-1", "seed=-2")),
    ],
)
def test_an_invalid_override_is_the_location_of_the_error(config_file, overrides, faulty):
    with pytest.raises(ConfigError) as caught:
        load_config(str(config_file), overrides)
    assert caught.value.where == ", ".join(f"--set {text}" for text in faulty)


def test_an_invalid_file_is_the_location_of_the_error(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\nseed: -1\ndata: {manifest: synthetic}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(str(path), ["data.root=."])
    assert (caught.value.where, caught.value.what.count("\n")) == (str(path), 0)
    with pytest.raises(ConfigError) as caught:
        load_config(str(path), ["data.root=.", OVERLAP])
    assert caught.value.where == f"--set {OVERLAP}, {path}"
    for key in ("seed: expected", "evaluation.inference.overlap: expected"):
        assert key in caught.value.what


def test_online_teachers_need_mixed_views(config_file):
    with pytest.raises(ConfigError, match="teacher_sees: mixed"):
        load_config(str(config_file), ["objective.teachers=online", "views.teacher_sees=weak"])


def test_each_problem_has_a_separate_line(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\nviws: {}\ndata: {manifest: synthetic, root: ., labeled: 2}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(str(path))
    lines = caught.value.what.splitlines()
    assert any("viws" in line and "'views'" in line for line in lines)
    assert any("data.labeled" in line for line in lines)


def test_an_unknown_config_names_the_packaged_ones():
    with pytest.raises(ConfigError, match="did you mean 'dubai'"):
        find_config("dubaj")


def test_the_cache_is_the_config_s_then_the_environment_s_then_the_user_s(config_file, monkeypatch):
    config = load_config(str(config_file), ["runtime.cache=null"])
    monkeypatch.setenv("RSMTDF_CACHE", "elsewhere")
    assert config.runtime.cache_folder == Path("elsewhere")
    monkeypatch.delenv("RSMTDF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "user")
    assert config.runtime.cache_folder == Path("user/rsmtdf")
