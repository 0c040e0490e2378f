"""Encoders give four maps of the promised shapes, from the promised weights."""

import socket

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from rsmtdf_core.errors import ConfigError, MissingFileError
from rsmtdf_core.student.encoder import Encoder, default_taps
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.weights.timm_layout import find_layout


def make(encoder: str, crop: int = 224, **settings) -> Encoder:
    settings = StudentSettings(encoder=encoder, **{"weights": "random", **settings})
    return Encoder(settings, crop=crop).eval()


@pytest.mark.parametrize(
    ("depth", "taps"),
    [(12, (2, 5, 8, 11)), (24, (4, 11, 17, 23)), (40, (9, 19, 29, 39)), (6, (0, 2, 3, 5))],
)
def test_default_taps_are_the_references_blocks(depth, taps):
    assert default_taps(depth) == taps


@pytest.mark.parametrize(
    ("encoder", "size", "shapes", "patch"),
    [
        ("vit_tiny_patch16_224", (64, 96), [(192, 4, 6)] * 4, 16),
        ("resnet18", (65, 96), [(64, 17, 24), (128, 9, 12), (256, 5, 6), (512, 3, 3)], 1),
        ("efficientnet_lite0", (64, 96), [(24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)], 1),
        ("test_convnext", (64, 96), [(24, 16, 24), (32, 8, 12), (48, 4, 6), (64, 2, 3)], 1),
    ],
)
@torch.inference_mode()
def test_maps_have_the_declared_shapes(encoder, size, shapes, patch):
    built = make(encoder)
    maps = built(torch.randn(2, 3, *size))
    assert [tuple(map_BCHW.shape) for map_BCHW in maps] == [(2, *shape) for shape in shapes]
    assert built.channels == [shape[0] for shape in shapes]
    assert built.patch == patch
    assert built.reductions == ([16] * 4 if patch == 16 else [4, 8, 16, 32])


# Class token with and without a place in the position embedding, register tokens, none of them.
@pytest.mark.parametrize(
    "encoder", ["test_vit", "test_vit2", "test_vit4", "vit_little_patch16_reg1_gap_256"]
)
@torch.inference_mode()
def test_vit_taps_at_the_trained_size_are_timms(encoder):
    built = make(encoder)
    side = built.net.patch_embed.img_size[0]
    images = torch.randn(1, 3, side, side)
    expected = built.net.forward_intermediates(
        images, indices=list(built.taps), norm=True, intermediates_only=True
    )
    for map_BCHW, expected_map in zip(built(images), expected, strict=True):
        torch.testing.assert_close(map_BCHW, expected_map)


def test_blocks_after_the_last_tap_are_dropped():
    built = make("vit_tiny_patch16_224", taps=(1, 3, 4, 6))
    assert len(built.net.blocks) == 7
    shallow = make("resnet18", taps=(0, 1, 2, 3))
    assert shallow.reductions == [2, 4, 8, 16]
    assert not any(name.startswith("net.layer4") for name in shallow.state_dict())


@pytest.mark.parametrize("taps", [(0, 1, 2, 12), (3, 2, 5, 6), (-1, 2, 3, 4), (1, 1, 2, 3)])
def test_taps_the_encoder_lacks_are_refused(taps):
    with pytest.raises(ConfigError, match="expected four rising numbers from 0 to 11"):
        make("vit_tiny_patch16_224", taps=taps)


def test_an_unknown_encoder_is_refused_with_a_near_name():
    with pytest.raises(ConfigError, match="did you mean 'resnet18'"):
        make("resnet81")


def test_a_tag_that_timm_lacks_is_refused():
    with pytest.raises(ConfigError, match="no_such_tag"):
        make("resnet18.no_such_tag")


def test_an_encoder_without_maps_of_such_views_is_refused_with_the_reason():
    with pytest.raises(
        ConfigError, match=r"cannot be a student for views of 64 px: .*Kernel size"
    ) as caught:
        make("inception_v3", crop=64)
    assert "views.crop" in (caught.value.remedy or "")


# The smallest of each kind: pyramids, plain transformers with rotary or relative positions, registers and a
# distillation token, windows, models for one size of images, and models with fewer than four levels.
ARCHITECTURES = (
    "coat_lite_tiny",
    "coatnet_pico_rw_224",
    "convit_tiny",
    "crossvit_tiny_240",
    "deit_tiny_distilled_patch16_224",
    "edgenext_xx_small",
    "efficientformerv2_s0",
    "efficientvit_m0",
    "fastvit_t8",
    "hiera_tiny_224",
    "levit_128s",
    "maxvit_pico_rw_256",
    "mixer_s16_224",
    "mobilenetv4_conv_small",
    "mobilevit_xxs",
    "nest_tiny",
    "pit_ti_224",
    "pvt_v2_b0",
    "regnetx_002",
    "repvit_m0_9",
    "resnet10t",
    "shvit_s1",
    "starnet_s1",
    "swin_s3_tiny_224",
    "test_convnext",
    "test_maxvit",
    "test_vit",
    "test_vit_relpos",
    "tiny_vit_5m_224",
    "vit_pe_core_tiny_patch16_384",
    "vit_tiny_r_s16_p8_224",
    "xcit_nano_12_p16_224",
)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_architecture_trains_and_predicts(architecture):
    torch.manual_seed(0)
    built = make(architecture, crop=64).train()
    maps = built(torch.randn(2, 3, 64, 64))
    sum(map_BCHW.mean() for map_BCHW in maps).backward()
    untrained = [name for name, weight in built.named_parameters() if weight.grad is None]
    assert not untrained
    assert [map_BCHW.shape[1] for map_BCHW in maps] == built.channels
    for map_BCHW, reduction in zip(maps, built.reductions, strict=True):
        assert (
            map_BCHW.shape[2] == map_BCHW.shape[3] == pytest.approx(64 / reduction, rel=0.2, abs=1)
        )
    # A larger image with unequal sides, as in an evaluation.
    height, width = 3 * max(built.patch, 32), 2 * max(built.patch, 32)
    with torch.inference_mode():
        larger = built.eval()(torch.randn(1, 3, height, width))
    for map_BCHW, reduction in zip(larger, built.reductions, strict=True):
        assert map_BCHW.shape[2:] == pytest.approx(
            (height / reduction, width / reduction), rel=0.2, abs=2
        )


# Rotary positions, a distillation token, windows, a hybrid of a CNN and a transformer, relative positions.
@pytest.mark.parametrize(
    ("architecture", "norm"),
    [
        ("vit_pe_core_tiny_patch16_384", True),
        ("deit_tiny_distilled_patch16_224", True),
        ("swin_s3_tiny_224", False),
        ("vit_tiny_r_s16_p8_224", True),
        ("hiera_tiny_224", False),
    ],
)
@torch.inference_mode()
def test_maps_are_timms_at_the_trained_size(architecture, norm):
    side = timm.get_pretrained_cfg(architecture).input_size[-1]
    built = make(architecture, crop=side)
    net = timm.create_model(architecture, num_classes=0).eval()
    net.load_state_dict(built.net.state_dict(), strict=False)
    images = torch.randn(1, 3, side, side)
    expected = net.forward_intermediates(images, norm=norm, intermediates_only=True)
    for map_BCHW, tap in zip(built(images), built.taps, strict=True):
        torch.testing.assert_close(map_BCHW, expected[tap])


@torch.inference_mode()
def test_a_model_for_one_size_sees_a_larger_image_in_tiles():
    built = make("efficientformerv2_s0", crop=64)
    assert built.patch == 64
    images = torch.randn(2, 3, 128, 192)
    maps = built(images)
    for row in range(2):
        for column in range(3):
            tile = images[:, :, 64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
            for map_BCHW, expected, reduction in zip(
                maps, built(tile), built.reductions, strict=True
            ):
                cells = 64 // reduction
                part = map_BCHW[
                    :,
                    :,
                    cells * row : cells * row + cells,
                    cells * column : cells * column + cells,
                ]
                torch.testing.assert_close(part, expected)


def test_layouts_do_not_draw_random_numbers():
    find_layout.cache_clear()
    torch.manual_seed(0)
    first = make("test_vit").state_dict()
    torch.manual_seed(0)
    assert all(
        torch.equal(first[name], tensor) for name, tensor in make("test_vit").state_dict().items()
    )


def test_weights_that_do_not_exist_or_do_not_fit_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        make("test_vit", weights=str(tmp_path / "absent.pth"))
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match="the weights do not fit the model"):
        make("test_vit", weights=str(tmp_path / "other.pth"))
    for damaged in ("noise.pth", "noise.safetensors"):
        (tmp_path / damaged).write_bytes(b"not weights at all")
        with pytest.raises(ConfigError, match="not a readable weights file"):
            make("test_vit", weights=str(tmp_path / damaged))


def test_weights_are_read_from_a_file(tmp_path):
    source = make("test_vit")
    state = {name.removeprefix("net."): tensor for name, tensor in source.state_dict().items()}
    torch.save(state, tmp_path / "vit.pth")
    loaded = make("test_vit", weights=str(tmp_path / "vit.pth"))
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name]), name


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("encoder", "file"),
    [
        ("vit_small_patch14_dinov2", "dinov2_vits14_lineage_fp16.safetensors"),
        ("tf_efficientnet_lite0", "tf_efficientnet_lite0_fp16.safetensors"),
    ],
)
def test_published_weights_are_read_whole(shared, encoder, file):
    path = shared / "weights" / file
    published = load_file(path)
    built = make(encoder, weights=str(path))
    for name, tensor in built.net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert tensor.dtype == torch.float32
            assert torch.equal(tensor, published[name].float()), name


def test_hub_weights_come_from_the_local_cache_and_never_from_the_network(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    settings = StudentSettings(encoder="resnet18.a1_in1k", weights="hub")
    with pytest.raises(ConfigError, match=r"hf download timm/resnet18\.a1_in1k"):
        Encoder(settings)

    donor = Encoder(StudentSettings(encoder="resnet18", weights="random"))
    file = tmp_path / "model.safetensors"
    save_file(donor.net.state_dict(), file)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(file))
    with_weights = Encoder(settings)
    assert all(
        torch.equal(tensor, with_weights.net.state_dict()[name])
        for name, tensor in donor.net.state_dict().items()
    )


@pytest.mark.parametrize("encoder", ["test_vit", "test_efficientnet", "test_convnext"])
@torch.inference_mode()
def test_pretrained_weights_ignore_further_bands_at_first(encoder, tmp_path):
    pretrained = make(encoder)
    file = tmp_path / "weights.safetensors"
    net = timm.create_model(encoder, pretrained=False, num_classes=0)
    save_file(net.state_dict(), file)
    settings = StudentSettings(encoder=encoder, weights=str(file))
    three, five = Encoder(settings).eval(), Encoder(settings, bands=5).eval()
    side = 160
    images = torch.randn(1, 5, side, side)
    for map_BCHW, expected_map in zip(five(images), three(images[:, :3]), strict=True):
        torch.testing.assert_close(map_BCHW, expected_map)
    assert sum(parameter.numel() for parameter in five.parameters()) > sum(
        parameter.numel() for parameter in pretrained.parameters()
    )
