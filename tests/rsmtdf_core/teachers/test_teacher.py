import gc
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.fingerprints import canonical_json, file_sha256
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import (
    PROBE_TOLERANCE,
    Teacher,
    declared_identity,
    declared_shape,
    live_teachers,
    load_teacher,
    probe_difference,
    probe_image,
)
from rsmtdf_core.tokens import TokenShape

CROP = 192


def settings(**changes: object) -> TeacherSettings:
    return TeacherSettings(
        **{
            "name": "small",
            "family": "timm",
            "model": "test_vit.r160_in1k",
            "weights": "random",
            "input_size": 160,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return load_teacher(settings(), CROP)


@pytest.fixture(scope="module")
def views() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (3, 3, CROP, CROP), generator=generator, dtype=torch.uint8)


def test_tokens_are_float32_of_the_declared_shape(teacher, views):
    tokens = teacher.tokens(views)
    assert tokens.dtype == torch.float32
    assert tokens.shape == (3, *teacher.shape.record_shape)
    assert teacher.shape == TokenShape("small", 10, 10, 64, 160) == declared_shape(settings(), CROP)


def test_a_views_tokens_do_not_depend_on_its_batch(teacher, views):
    torch.testing.assert_close(teacher.tokens(views)[1:2], teacher.tokens(views[1:2]))


def test_views_are_normalised_before_they_are_resized_with_aligned_corners(teacher, views):
    mean = torch.tensor([0.5, 0.5, 0.5]).reshape(3, 1, 1)
    std = torch.tensor([0.5, 0.5, 0.5]).reshape(3, 1, 1)
    normalised = (views / 255 - mean) / std
    torch.testing.assert_close(teacher.tokens(views), teacher.normalised_tokens(normalised))
    resized = torch.nn.functional.interpolate(
        normalised, size=(160, 160), mode="bilinear", align_corners=True
    )
    as_it_is = load_teacher(settings(input_size=None), 160)
    torch.testing.assert_close(as_it_is.normalised_tokens(resized), teacher.tokens(views))


def test_random_weights_follow_the_seed_and_leave_the_global_generator_alone(teacher, views):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    same, other = load_teacher(settings(), CROP), load_teacher(settings(seed=1), CROP)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(same.tokens(views), teacher.tokens(views))
    assert not torch.equal(other.tokens(views), teacher.tokens(views))
    assert (same.weights_sha256, other.weights_sha256) == ("random:0", "random:1")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precisions_change_tokens_a_little_but_not_the_probe(teacher, views, precision: str):
    lowered = load_teacher(settings(precision=precision), CROP)
    exact, actual = teacher.tokens(views), lowered.tokens(views)
    assert actual.dtype == torch.float32
    assert 0 < (actual - exact).norm() / exact.norm() < 0.05
    assert lowered.probe() == teacher.probe()


def test_arithmetic_that_the_process_has_set_is_given_back(teacher, views):
    torch.set_float32_matmul_precision("high")
    try:
        teacher.tokens(views)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_tokens_carry_no_gradient(teacher, views):
    assert not teacher.tokens(views).requires_grad


def test_views_of_another_size_or_type_are_a_programmers_mistake(teacher, views):
    with pytest.raises(AssertionError, match="uint8"):
        teacher.tokens(views.float())
    with pytest.raises(AssertionError, match="not views"):
        teacher.tokens(views[..., :160])


def test_the_identity_is_declared_without_loading(teacher):
    declared = declared_identity(settings(), CROP)
    assert canonical_json(declared) == canonical_json(teacher.identity())
    assert json.loads(json.dumps(declared)) == declared


@pytest.mark.parametrize(
    "change",
    [
        {"model": "test_vit2.r160_in1k"},
        {"seed": 5},
        {"block": 0},
        {"final_norm": False},
        {"input_size": None},
        {"mean": (0.4, 0.5, 0.5)},
        {"std": (0.4, 0.5, 0.5)},
        {"bands": (3, 2, 1)},
        {"precision": "bf16"},
    ],
)
def test_all_that_changes_tokens_changes_the_identity(change: dict[str, object]):
    assert declared_identity(settings(**change), CROP) != declared_identity(settings(), CROP)


def test_the_crop_changes_the_identity_but_name_and_codec_do_not():
    same = settings(name="other", codec="int8")
    assert declared_identity(same, CROP) == declared_identity(settings(), CROP)
    assert declared_identity(settings(), 320) != declared_identity(settings(), CROP)


def test_the_declared_digest_is_the_files_or_the_named_one_or_none(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save_file({"w": torch.ones(1)}, path)
    here = declared_identity(settings(weights=str(path)), CROP)
    assert here["weights_sha256"] == file_sha256(path)
    absent = str(tmp_path / "absent.safetensors")
    named = declared_identity(settings(weights=absent, weights_sha256="b" * 64), CROP)
    assert named["weights_sha256"] == "b" * 64
    assert declared_identity(settings(weights=absent), CROP)["weights_sha256"] is None


def test_a_file_loads_as_the_teacher_it_was_saved_from(teacher, views, tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save_file({k: t.contiguous() for k, t in teacher._module.model.state_dict().items()}, path)
    loaded = load_teacher(settings(weights=str(path)), CROP)
    assert loaded.weights_sha256 == file_sha256(path)
    assert torch.equal(loaded.tokens(views), teacher.tokens(views))


def test_weights_that_do_not_fit_are_refused_with_their_file(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save_file({"w": torch.ones(1)}, path)
    with pytest.raises(TeacherError, match="do not fit") as caught:
        load_teacher(settings(weights=str(path)), CROP)
    assert caught.value.where == str(path)


def test_a_size_that_a_model_cannot_take_is_refused():
    with pytest.raises(TeacherError, match="cannot take an image of 200 px"):
        declared_shape(settings(model="samvit_base_patch16", input_size=200), CROP)


def test_the_probe_is_a_few_hundred_rounded_numbers_that_come_again(teacher):
    probe = teacher.probe()
    assert 256 <= len(probe) < 300
    assert probe == teacher.probe() == load_teacher(settings(), CROP).probe()
    assert all(number == float(f"{number:.6g}") for number in probe)
    assert json.loads(json.dumps(probe)) == probe


def test_the_probe_image_is_textured_in_every_channel():
    image = probe_image(64)
    assert image.shape == (1, 3, 64, 64)
    assert image.dtype == torch.uint8
    assert image.float().std(dim=(2, 3)).min() > 20


def test_a_small_change_of_one_layer_exceeds_the_tolerance(teacher):
    changed = load_teacher(settings(), CROP)
    expected = changed.probe()
    with torch.no_grad():
        changed._module.model.norm.weight.mul_(1.01)
    assert probe_difference(expected, changed.probe()) > PROBE_TOLERANCE


def test_probe_difference_is_relative_and_never_hides_nonsense():
    assert probe_difference([3.0, 4.0], [3.0, 4.0]) == 0.0
    assert probe_difference([3.0, 4.0], [3.0, 4.5]) == pytest.approx(0.1)
    assert probe_difference([0.0], [0.0]) == 0.0
    for probe in ([3.0], [3.0, math.nan], [math.inf, 4.0]):
        assert probe_difference([3.0, 4.0], probe) == math.inf
    assert probe_difference([0.0], [1.0]) == math.inf


def test_teachers_are_counted_while_they_live():
    before = live_teachers()
    teacher = load_teacher(settings(), CROP)
    assert live_teachers() == before + 1
    del teacher
    gc.collect()
    assert live_teachers() == before
