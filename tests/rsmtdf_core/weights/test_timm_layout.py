"""Trials find the sizes of images that a model takes, and its maps."""

import pytest
import timm

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.weights.timm_layout import UnfitSizeError, find_layout

PYRAMID = (4, 8, 16, 32)


@pytest.mark.parametrize(
    ("model", "side", "options", "unit", "tiled", "reductions"),
    [
        ("resnet10t", 65, {}, 1, False, (2, *PYRAMID)),
        ("inception_v3", 160, {}, 1, False, (2, 4, 8, 16, 32)),  # without padding
        ("hrnet_w18_small", 64, {}, 32, False, (2, *PYRAMID)),
        ("swin_s3_tiny_224", 64, {"dynamic_img_size": True}, 32, False, PYRAMID),
        ("deit_tiny_distilled_patch16_224", 64, {"dynamic_img_size": True}, 16, False, (16,) * 12),
        ("efficientformerv2_s0", 64, {"img_size": 64}, 64, True, PYRAMID),
        ("efficientformerv2_s0", 224, {}, 224, True, PYRAMID),
        # It resizes each image to 240 px.
        ("crossvit_tiny_240", 160, {}, 160, True, (12, 12, 12, 17, 17, 17)),
    ],
)
def test_a_layout(model, side, options, unit, tiled, reductions):
    layout = find_layout(model, side, 3)
    assert (layout.options, layout.unit, layout.tiled) == (options, unit, tiled)
    assert tuple(reduction for _, reduction in layout.levels) == reductions


def test_maps_have_the_channels_of_their_final_norm():
    widths = {channels for channels, _ in find_layout("samvit_base_patch16", 64, 3).levels}
    assert widths == {256}  # after the neck; 768 before


@pytest.mark.parametrize(
    ("model", "reason"),
    [("vit_small_patch14_dinov2", "patch"), ("inception_v3", "Kernel size")],
)
def test_an_image_that_a_model_does_not_take_is_refused_with_the_reason(model, reason):
    with pytest.raises(UnfitSizeError, match=reason):
        find_layout(model, 64, 3)


def test_an_unknown_model_is_refused_by_name():
    with pytest.raises(TeacherError, match="no model 'no_such_model'"):
        find_layout("no_such_model", 64, 3)


def test_the_first_layer_takes_the_bands():
    assert find_layout("resnet10t", 64, 5).unit == 1
    assert timm.create_model("resnet10t", in_chans=5).conv1[0].in_channels == 5
