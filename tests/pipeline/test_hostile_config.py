"""Whatever a config holds, it is a config or one clear error."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.config import ExperimentConfig, load_config
from rsmtdf_core.errors import ConfigError, RsmtdfError
from rsmtdf_core.validation import dump_yaml, validate
from tests.hostile_yaml import places, scalars, texts

LINES = dump_yaml(load_config("loveda")).splitlines()


def test_a_key_that_is_there_twice_is_named_by_its_line(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("name: a\nviews:\n  crop: 64\n  flip: 0.5\n  crop: 128\n")
    with pytest.raises(ConfigError, match="in line 5: the key 'crop' is given twice"):
        load_config(str(path))


def load(tmp_path_factory, text: str, *overrides: str) -> None:
    path = tmp_path_factory.mktemp("hostile") / "config.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with suppress(RsmtdfError):  # and nothing else
        config = load_config(str(path), overrides)
        assert validate(ExperimentConfig, config.model_dump(), "again") == config


@settings(max_examples=50)
@given(text=texts)
def test_any_text_is_a_config_or_a_clear_error(tmp_path_factory, text: str):
    load(tmp_path_factory, text)


@settings(max_examples=50)
@given(text=places(LINES))
def test_any_value_of_any_key_is_taken_or_a_clear_error(tmp_path_factory, text: str):
    load(tmp_path_factory, text)


@given(
    key=st.sampled_from([line.split(":")[0].strip(" -") for line in LINES]) | st.text(max_size=8),
    group=st.sampled_from(["", "views.", "teachers.dino.", "optimiser.", "student.fusion.", "x."]),
    value=scalars,
)
@example(key="x." * 3000, group="", value="1")
def test_any_override_is_taken_or_a_clear_error(tmp_path_factory, key, group, value):
    load(tmp_path_factory, "\n".join(LINES), f"{group}{key}={value}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 10**30),
        ("seed", -1),
        ("views_seed", 10**30),
        ("views.crop", 10**9),
        ("views.unlabeled_views", 10**9),
        ("views.scale", "[1e-300, 1e300]"),
        ("views.scale", "[.nan, 1]"),
        ("views.blur.sigma", "[0.1, .inf]"),
        ("views.cutmix.area", "[1e-300, 0.1]"),
        ("optimiser.lr", ".inf"),
        ("optimiser.power", ".nan"),
        ("optimiser.epochs", 10**30),
        ("student.mean", "[123.7, 116.3, 103.5]"),
        ("student.std", "[1e-300, 1, 1]"),
        ("student.weights", '"a\\0b"'),
        ("student.weights", "~nobody-of-that-name/w.pth"),
        ("student.encoder", "a" * 10_000),
        ("teachers.dino.input_size", 10**9),
        ("teachers.dino.block", 10**30),
        ("teachers.dino.name", "a" * 300),
        ("data.root", "a" * 300),
        ("evaluation.inference.scales", "[1e-300]"),
        ("evaluation.inference.window", 10**9),
        ("runtime.workers", 10**9),
        ("name", "a" * 300),
    ],
)
def test_a_value_beyond_all_use_is_named_by_its_key(key: str, value: object):
    with pytest.raises(ConfigError) as caught:
        load_config("loveda", [f"{key}={value}"])
    named = key.replace("teachers.dino", "teachers.0")
    assert caught.value.what.startswith((named, f"{named}."))
    assert "--set" in str(caught.value.where)
    assert len(str(caught.value.where)) < 200
    assert len(caught.value.what) < 400


def numbers(value: object, key: str = "") -> list[str]:
    """The dotted keys of all numbers in a config."""
    if isinstance(value, dict):
        return [
            number for name in value for number in numbers(value[name], f"{key}.{name}".lstrip("."))
        ]
    if isinstance(value, list):
        return [
            number
            for index in range(len(value))
            for number in numbers(value[index], f"{key}.{index}")
        ]
    return [key] if isinstance(value, int | float) and not isinstance(value, bool) else []


SET = [
    "student.taps=[2, 5, 8, 11]",
    "student.fusion.teacher_weights={dino: 0.1, clip: 0.1}",
    "teachers.dino.input_size=518",
    "optimiser.max_steps=10",
    "evaluation.patience=3",
    "runtime.extract_workers=1",
    "runtime.checkpoint_every=5",
]


@pytest.mark.parametrize("key", numbers(load_config("loveda", SET).model_dump(mode="json")))
def test_every_number_has_bounds(key: str):
    for value in ("1" + "0" * 40, "-1" + "0" * 40, ".inf", "-.inf", ".nan", "1e300"):
        with pytest.raises(ConfigError):
            load_config("loveda", [*SET, f"{key}={value}"])


@pytest.mark.parametrize(
    "value",
    [
        "2024-13-45",
        "!!int x",
        "!!float x",
        "!!bool x",
        "!!timestamp x",
        "9" * 5000,
        "[" * 3000,
        '"\\ud800"',
        "!!python/object/apply:os.system [ls]",
    ],
)
def test_a_value_that_yaml_cannot_read_is_named_by_its_line(tmp_path: Path, value: str):
    path = tmp_path / "config.yaml"
    path.write_text(f"name: a\nseed: {value}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(str(path))
    assert caught.value.where == str(path)
    assert (
        "in line 2" in caught.value.what
        or "nested" in caught.value.what
        or "seed" in caught.value.what
    )
    assert "\n" not in caught.value.what.replace("\ndata: the key is missing", "")
    assert len(caught.value.what) < 400
