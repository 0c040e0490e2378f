"""The student gives logits at the images' size and tokens on each teacher's grid."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.student.model import Student, parameter_groups
from rsmtdf_core.student.resizing import resize_map, resize_tokens
from rsmtdf_core.student.settings import FusionSettings, StudentSettings
from rsmtdf_core.student.stages import stages
from rsmtdf_core.tokens import TokenShape

ENCODERS = {"vit_tiny_patch16_224": 64, "resnet18": 64, "efficientnet_lite0": 70}
# For a ViT of patch 16 and crops of 64 px: its own grid, a finer one, one that a second pass at
# 48 px gives, and one that no pass of the student gives.
OWN = TokenShape("own", 4, 4, 12)
FINER = TokenShape("finer", 7, 5, 10)
SECOND = TokenShape("second", 3, 3, 8, input_size=48)
FOREIGN = TokenShape("foreign", 5, 5, 6, input_size=70)
ALL = [OWN, FINER, SECOND, FOREIGN]


def make(encoder="vit_tiny_patch16_224", crop=64, teachers=(), **settings) -> Student:
    chosen = StudentSettings(encoder=encoder, weights="random", translator_hidden=16, **settings)
    return Student(chosen, classes=3, crop=crop, teachers=list(teachers))


_WITH_TEACHERS = make("test_vit", teachers=ALL)


@pytest.mark.parametrize(("encoder", "crop"), ENCODERS.items())
@pytest.mark.parametrize("mode", ["weighted", "attention", "off"])
@pytest.mark.parametrize("source", ["last", "pyramid"])
def test_gradients_reach_every_parameter(encoder, crop, mode, source):
    student = make(encoder, crop, ALL, fusion=FusionSettings(mode=mode), translator_input=source)
    output = student(torch.randn(2, 3, crop, crop))
    assert output.logits.shape == (2, 3, crop, crop)
    assert {name: tuple(tokens.shape) for name, tokens in output.tokens.items()} == {
        teacher.teacher: (2, *teacher.record_shape) for teacher in ALL
    }
    loss = output.logits.square().mean()
    for tokens in output.tokens.values():
        loss = loss + tokens.square().mean()
    loss.backward()
    idle = [name for name, value in student.named_parameters() if value.grad is None]
    assert idle == []


@torch.inference_mode()
def test_channels_scaled_to_zero_remove_the_image():
    student = make(teachers=[OWN]).eval()
    images = torch.randn(2, 3, 64, 64)
    scale = torch.ones(2, max(student.encoder.channels))
    torch.testing.assert_close(student(images, scale).logits, student(images).logits)
    scale[1] = 0
    logits = student(images, scale).logits
    torch.testing.assert_close(logits[0], student(images).logits[0])
    torch.testing.assert_close(logits[1], student(torch.randn(2, 3, 64, 64), scale).logits[1])


@torch.inference_mode()
def test_a_scale_multiplies_the_channels_of_each_tap():
    student = make("resnet18")
    student.eval()
    images, scale = torch.randn(1, 3, 64, 64), torch.rand(1, 512) * 2
    taps = student.encoder(images)
    scaled = [tap * scale[:, : tap.shape[1], None, None] for tap in taps]
    expected = resize_map(student.head(scaled), (64, 64))
    torch.testing.assert_close(student(images, scale).logits, expected)


@pytest.mark.parametrize("encoder", ["vit_tiny_patch16_224", "resnet18", "efficientnet_lite0"])
def test_recomputing_activations_changes_only_memory(encoder):
    student = make(encoder, ENCODERS[encoder], ALL).train()
    images = torch.randn(2, 3, ENCODERS[encoder], ENCODERS[encoder])
    start = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    results = []
    for enabled in (False, True):
        student.load_state_dict(start)
        student.encoder.checkpoint_activations(enabled)
        student.zero_grad()
        torch.manual_seed(0)
        output = student(images)
        (output.logits.square().mean() + output.tokens["own"].square().mean()).backward()
        gradients = [
            parameter.grad.clone()
            for parameter in student.parameters()
            if parameter.grad is not None
        ]
        buffers = [buffer.clone() for buffer in student.buffers() if buffer.is_floating_point()]
        results.append((output.logits.detach(), gradients, buffers))
    (plain, plain_gradients, plain_buffers), (again, again_gradients, again_buffers) = results
    torch.testing.assert_close(again, plain)
    torch.testing.assert_close(again_gradients, plain_gradients)
    torch.testing.assert_close(again_buffers, plain_buffers)


def test_activations_are_recomputed_only_with_gradients():
    student = make(teachers=[]).train()
    student.encoder.checkpoint_activations(enabled=True)
    runs = []
    student.encoder.net.blocks[1].register_forward_pre_hook(lambda *_: runs.append(1))
    student(torch.randn(1, 3, 64, 64)).logits.sum().backward()
    assert len(runs) == 2
    with torch.no_grad():
        student(torch.randn(1, 3, 64, 64))
    assert len(runs) == 3


@pytest.mark.parametrize(("encoder", "crop"), ENCODERS.items())
def test_it_trains_without_teachers(encoder, crop):
    student = make(encoder, crop)
    output = student(torch.randn(2, 3, crop, crop))
    assert output.tokens == {}
    assert student.fusion is None
    output.logits.square().mean().backward()
    idle = [name for name, value in student.named_parameters() if value.grad is None]
    assert idle == []


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("size", [(48, 112), (144, 32)])
@torch.inference_mode()
def test_it_evaluates_images_that_are_no_squares(encoder, size):
    student = make(encoder, 64, ALL).eval()
    images = torch.randn(1, 3, *size)
    output = student(images)
    assert output.logits.shape == (1, 3, *size)
    assert torch.equal(student.logits(images), output.logits)
    assert output.tokens["finer"].shape == (1, 7, 5, 10)


def count_passes(student: Student) -> list[tuple[int, int]]:
    sizes = []
    student.encoder.register_forward_pre_hook(
        lambda module, inputs: sizes.append(tuple(inputs[0].shape[-2:]))
    )
    return sizes


@torch.inference_mode()
def test_teachers_of_one_input_size_share_a_second_pass_and_others_need_none():
    twin = TokenShape("twin", 3, 3, 4, input_size=48)
    whole = TokenShape("whole", 4, 4, 4, input_size=64)
    student = make(teachers=[*ALL, twin, whole]).eval()
    sizes = count_passes(student)
    student(torch.randn(1, 3, 64, 64))
    assert sizes == [(64, 64), (48, 48)]
    sizes.clear()
    student(torch.randn(1, 3, 96, 64))
    assert sizes == [(96, 64), (48, 48)]


@torch.inference_mode()
def test_a_shared_pass_serves_all_teachers():
    student = make(teachers=ALL, second_encoding="shared").eval()
    sizes = count_passes(student)
    images = torch.randn(1, 3, 64, 64)
    tokens = student(images).tokens
    assert sizes == [(64, 64)]
    last = student.encoder(images)[-1]
    resampled = resize_map(last, (3, 3)).permute(0, 2, 3, 1)
    torch.testing.assert_close(tokens["second"], student.translators["second"](resampled))
    # An image of twice the crop has twice the places, so that a token covers what it covers of a crop.
    seen = []
    student.translators["second"].register_forward_pre_hook(
        lambda _, inputs: seen.append(tuple(inputs[0].shape[1:3]))
    )
    student(torch.randn(1, 3, 128, 64))
    assert seen == [(6, 3)]


@torch.inference_mode()
def test_tokens_from_the_pyramid_average_finer_taps_on_the_grid_of_the_teacher():
    fine = TokenShape("fine", 4, 4, 12)
    student = make("resnet18", teachers=[fine, *ALL[1:]], translator_input="pyramid").eval()
    sizes, images = count_passes(student), torch.randn(1, 3, 64, 64)
    tokens = student(images).tokens
    assert sizes == [(64, 64)]
    # Maps of 16, 8, 4 and 2 cells a side.
    finest, finer, equal, coarser = student.encoder(images)
    features = torch.cat(
        [
            finest.unflatten(3, (4, 4)).unflatten(2, (4, 4)).mean(dim=(3, 5)),
            finer.unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean(dim=(3, 5)),
            equal,
            resize_map(coarser, (4, 4)),
        ],
        dim=1,
    )
    expected = student.translators["fine"](features.permute(0, 2, 3, 1))
    torch.testing.assert_close(tokens["fine"], expected)


@torch.inference_mode()
def test_tokens_from_the_pyramid_are_fused_into_every_tap():
    student = make("resnet18", teachers=[OWN], translator_input="pyramid").eval()
    images = torch.randn(1, 3, 64, 64)
    before = student.logits(images)
    for fusion in (*student.finer_fusions, student.fusion):
        weight = fusion.projections["own"].weight
        kept = weight.clone()
        weight.add_(1)
        assert not torch.equal(student.logits(images), before)
        weight.copy_(kept)
    torch.testing.assert_close(student.logits(images), before)


@given(st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=8, deadline=None)
@torch.inference_mode()
def test_the_pyramid_fits_images_of_other_sizes_than_the_crop(rows, columns):
    student = make("resnet18", teachers=ALL, translator_input="pyramid").eval()
    height, width = 32 * rows, 32 * columns
    output = student(torch.randn(1, 3, height, width))
    assert output.logits.shape == (1, 3, height, width)
    assert {name: tuple(tokens.shape[1:]) for name, tokens in output.tokens.items()} == {
        teacher.teacher: teacher.record_shape for teacher in ALL
    }


@torch.inference_mode()
def test_logits_without_fusion_need_no_second_pass():
    student = make(teachers=ALL, fusion=FusionSettings(mode="off")).eval()
    sizes = count_passes(student)
    logits = student.logits(torch.randn(1, 3, 64, 64))
    assert sizes == [(64, 64)]
    assert logits.shape == (1, 3, 64, 64)


@torch.inference_mode()
def test_tokens_come_from_the_pass_that_fits_the_teacher():
    student = make(teachers=ALL).eval()
    images = torch.randn(1, 3, 64, 64)
    tokens = student(images).tokens
    last = student.encoder(images)[-1].permute(0, 2, 3, 1)
    second = student.encoder(resize_map(images, (48, 48)))[-1].permute(0, 2, 3, 1)
    for name, source in {"own": last, "finer": last, "second": second, "foreign": last}.items():
        expected = resize_tokens(student.translators[name](source), student.grids[name])
        torch.testing.assert_close(tokens[name], expected)


@torch.inference_mode()
def test_fusion_off_leaves_the_logits_to_the_encoder_alone():
    student = make(teachers=ALL, fusion=FusionSettings(mode="off")).eval()
    images = torch.randn(1, 3, 64, 64)
    expected = resize_map(student.head(student.encoder(images)), (64, 64))
    assert torch.equal(student(images).logits, expected)


def test_the_state_holds_no_teacher():
    alone, taught = make().state_dict(), make(teachers=ALL).state_dict()
    added = {name.rsplit(".", 1)[0] for name in taught.keys() - alone.keys()}
    assert added == {
        f"{part}.{teacher.teacher}{layer}"
        for teacher in ALL
        for part, layer in [
            ("translators", ".layers.0"),
            ("translators", ".layers.2"),
            ("fusion.projections", ""),
        ]
    }


def test_parameter_groups_hold_each_parameter_once():
    student = make(teachers=ALL)
    encoder, others = parameter_groups(student, lr=5e-6, multiplier=40)
    assert (encoder["lr"], others["lr"]) == (5e-6, pytest.approx(2e-4))
    grouped = [id(value) for group in (encoder, others) for value in group["params"]]
    assert sorted(grouped) == sorted(id(value) for value in student.parameters())
    assert {id(value) for value in encoder["params"]} == {
        id(value) for value in student.encoder.parameters()
    }


@given(st.floats(0.01, 0.99), st.floats(1e-7, 1e-2), st.floats(0.1, 100))
@settings(max_examples=10)
def test_layer_decay_multiplies_the_rate_of_each_earlier_stage(decay, lr, multiplier):
    student = _WITH_TEACHERS
    *encoder, others = parameter_groups(student, lr, multiplier, decay)
    grouped = [id(value) for group in (*encoder, others) for value in group["params"]]
    assert sorted(grouped) == sorted(id(value) for value in student.parameters())
    by_stage = stages(student.encoder.net)
    for index, (group, stage) in enumerate(zip(encoder, by_stage, strict=True)):
        assert list(map(id, group["params"])) == list(map(id, stage.values()))
        assert group["lr"] == pytest.approx(lr * decay ** (len(by_stage) - 1 - index))
    assert (encoder[-1]["lr"], others["lr"]) == (lr, lr * multiplier)


@pytest.mark.parametrize("decay", [1.0, 0.5])
@pytest.mark.parametrize("frozen", [0, 2, "all"])
def test_groups_hold_only_what_trains(frozen, decay):
    student = make("resnet18", teachers=[OWN], frozen_stages=frozen)
    groups = parameter_groups(student, 1e-3, 10, decay)
    grouped = {id(value) for group in groups for value in group["params"]}
    assert grouped == {id(value) for value in student.parameters() if value.requires_grad}
    assert all(group["params"] for group in groups)
    assert groups[-1]["lr"] == pytest.approx(1e-2)
    if frozen != "all":
        assert groups[-2]["lr"] == 1e-3, "the last stage keeps the encoder's rate"


def test_a_crop_that_the_patch_does_not_divide_is_refused():
    with pytest.raises(ConfigError, match="patch of 16 px does not divide a crop of 70") as error:
        make(crop=70)
    assert "64" in error.value.remedy
