"""Tiny models of kinds that timm has in large sizes alone, registered under names of their own."""

from timm.models import generate_default_cfgs, register_model
from timm.models.eva import _create_eva, _dinov3_cfg
from timm.models.swin_transformer import _cfg as _swin_cfg
from timm.models.swin_transformer import _create_swin_transformer
from timm.models.vision_transformer import _cfg as _vit_cfg
from timm.models.vision_transformer import _create_vision_transformer

SWIN, DINOV3, RADIO = "tiny_swin", "tiny_dinov3", "tiny_radio"

default_cfgs = generate_default_cfgs(
    {
        "tiny_swin.any": _swin_cfg(input_size=(3, 64, 64)),
        "tiny_dinov3.any": _dinov3_cfg(input_size=(3, 64, 64)),
        "tiny_radio.any": _vit_cfg(input_size=(3, 64, 64), mean=(0.4,) * 3, std=(0.2,) * 3),
    }
)


def _small(**kwargs):
    return {"img_size": 64, "embed_dim": 32, **kwargs}


@register_model
def tiny_swin(pretrained=False, **kwargs):
    """Swin with windows of 4 x 4 patches of 4 px, for 64 px."""
    options = _small(patch_size=4, window_size=4, depths=(2, 2), num_heads=(2, 4))
    return _create_swin_transformer("tiny_swin", pretrained=pretrained, **{**options, **kwargs})


@register_model
def tiny_dinov3(pretrained=False, **kwargs):
    """DINOv3: rotary positions, four registers, no biases of queries, keys and values."""
    options = _small(
        patch_size=16,
        depth=2,
        num_heads=2,
        qkv_bias=False,
        init_values=1e-5,
        rope_type="dinov3",
        rope_temperature=100,
        rope_rotate_half=True,
        use_rot_pos_emb=True,
        use_abs_pos_emb=False,
        num_reg_tokens=4,
        use_fc_norm=False,
        dynamic_img_size=True,
    )
    return _create_eva("tiny_dinov3", pretrained=pretrained, **{**options, **kwargs})


@register_model
def tiny_radio(pretrained=False, **kwargs):
    """RADIO: positions without the class token, resized from a fixed grid."""
    options = _small(patch_size=16, depth=2, num_heads=2, reg_tokens=3, no_embed_class=True)
    # timm recognizes RADIO by its name.
    return _create_vision_transformer(
        "tiny_radio", pretrained=pretrained, **{**options, "final_norm": False, **kwargs}
    )
