"""The student's encoder: a timm vision transformer or CNN that returns four feature maps.

The reference resizes a transformer's position embedding by a scale factor with a small offset and
without antialiasing. timm resizes by size and with antialiasing, which changes features by 2 %. So
for plain vision transformers this module implements the embedding step and uses timm's blocks,
norms and weights. All other models are timm's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.positions import resize_position
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.student.pretrained import load_net, require_layout
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.student.stages import freeze_stages, held_modules
from rsmtdf_core.weights.timm_layout import is_even

if TYPE_CHECKING:
    from timm.models import VisionTransformer

# By depth, the taps of the reference that are not the quarters of the depth (ViT-L).
REFERENCE_TAPS = {24: (4, 11, 17, 23)}


class Encoder(nn.Module):
    """Compute four feature maps of an image, fine to coarse (CNN) or early to late (ViT).

    Layers after the last tap are dropped, so every remaining parameter gets a gradient, except for those of frozen
    stages. Frozen stages and frozen batch norms stay in eval mode in training. Pretrained weights cover three bands.
    The first convolution starts at 0 for other bands, so the initial features depend only on these three.

    Args:
        settings: the student.
        bands: number of image bands.
        crop: side of the training views, px.

    Attributes:
        taps: the blocks or levels that output the maps.
        channels: channels of each map.
        reductions: image px per map cell, for each map.
        patch: divisor of the image sides: a ViT's patch in px, 1 for most CNNs.

    Raises:
        ConfigError: If the model is unknown or unsuitable, its weights are unavailable or do not fit, or
            the taps or frozen stages do not exist.
        MissingFileError: If `settings.weights` is the path of a missing file.
    """

    def __init__(self, settings: StudentSettings, bands: int = SHOWN, crop: int = 224) -> None:
        super().__init__()
        layout = require_layout(settings, crop, bands)
        levels = layout.levels
        even = is_even(levels)
        self.taps = _checked_taps(settings, len(levels), _default_levels(len(levels), even))
        self.channels = [levels[tap][0] for tap in self.taps]
        self.reductions = [levels[tap][1] for tap in self.taps]
        net = load_net(settings, layout, bands)
        self.is_vit = _is_plain_vit(net)
        self.patch = self.reductions[-1] if self.is_vit else layout.unit
        self._is_tiled = layout.tiled
        self._norms = even and not self.is_vit
        if layout.options or layout.unit > 1 or even:
            _without_dropout(net)
        if hasattr(net, "prune_intermediate_layers"):
            net.prune_intermediate_layers(
                sorted(set(self.taps)), prune_norm=not even, prune_head=True
            )
        freeze_stages(net, settings)
        self.net: Any = net
        self._held = list(held_modules(net, batch_norms=settings.frozen_batch_norm))
        self._checkpointed = False
        self._momenta: dict[nn.Module, float | None] = {}
        self.train()

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """Normalized images -> four maps [B, C, h, w].

        H and W must be multiples of `patch`. A ViT's taps pass through its final norm and omit the
        prefix tokens.
        """
        if self.is_vit:
            checkpointed = self._checkpointed and self.training and torch.is_grad_enabled()
            return _vit_taps(self.net, images_BCHW, self.taps, checkpointed=checkpointed)
        if self._checkpointed:
            self._move_statistics(enabled=True)
        maps = self._maps(images_BCHW)
        if self._checkpointed:
            self._move_statistics(enabled=False)
        return maps

    def _maps(self, images_BCHW: Tensor) -> list[Tensor]:
        """Return timm's maps; a model that takes one size alone sees a larger image in tiles of that size."""
        rows, columns = (
            side // self.patch if self._is_tiled else 1 for side in images_BCHW.shape[-2:]
        )
        levels = sorted(set(self.taps))
        maps = self.net.forward_intermediates(
            _tiles(images_BCHW, rows, columns),
            indices=levels,
            intermediates_only=True,
            **({"norm": True} if self._norms else {}),
        )
        by_level = {
            level: _joined(map_BCHW, rows, columns)
            for level, map_BCHW in zip(levels, maps, strict=True)
        }
        return [by_level[tap] for tap in self.taps]

    def train(self, mode: bool = True) -> Self:
        """Switch between training and eval mode, except for frozen parts."""
        super().train(mode)
        for module in self._held:
            module.eval()
        return self

    def checkpoint_activations(self, enabled: bool) -> None:
        """Enable or disable activation checkpointing: recompute activations in the backward pass to save memory.

        Losses and gradients stay the same.

        Raises:
            ConfigError: If timm does not support checkpointing for this CNN.
        """
        if not self.is_vit:
            _checkpoint_cnn(self.net, enabled)
        self._checkpointed = enabled
        self._move_statistics(enabled=not enabled)

    def _move_statistics(self, *, enabled: bool) -> None:
        """Enable or disable updates of the running statistics of batch norms in training.

        The backward pass, which recomputes the norms, must not count a batch twice.
        """
        for module in self.net.modules():
            if isinstance(module, _BatchNorm):
                momentum = self._momenta.setdefault(module, module.momentum)
                module.momentum = momentum if enabled else 0.0


def default_taps(depth: int) -> tuple[int, ...]:
    """Return the four taps of the reference for a transformer with `depth` blocks."""
    quarters = tuple(max(0, depth * quarter // 4 - 1) for quarter in (1, 2, 3, 4))
    return REFERENCE_TAPS.get(depth) or quarters


def _vit_taps(
    net: VisionTransformer, images_BCHW: Tensor, taps: tuple[int, ...], *, checkpointed: bool
) -> list[Tensor]:
    tokens, grid = _embed(net, images_BCHW)
    maps = []
    for number, block in enumerate(net.blocks):
        tokens = checkpoint(block, tokens, use_reentrant=False) if checkpointed else block(tokens)
        if number in taps:
            cells = net.norm(tokens)[:, net.num_prefix_tokens :]
            maps.append(cells.mT.reshape(*cells.mT.shape[:2], *grid))
    return maps


def _embed(net: VisionTransformer, images_BCHW: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Return the input tokens [B, prefix + h * w, D] of the first block, and their grid (h, w)."""
    height, width = images_BCHW.shape[-2:]
    patch = net.patch_embed.patch_size[0]
    assert (height % patch, width % patch) == (0, 0), (height, width, patch)
    grid = (height // patch, width // patch)
    # `PatchEmbed.forward` accepts only the model's default size, so call its layers directly.
    tokens = net.patch_embed.norm(net.patch_embed.proj(images_BCHW).flatten(2).mT)
    prefix = [
        token.expand(
            tokens.shape[0], -1, -1
        )  # not len(), which an export would record as a constant
        for token in (net.cls_token, net.reg_token)
        if token is not None
    ]
    if net.pos_embed is None:
        tokens = torch.cat([*prefix, tokens], dim=1)
    elif net.no_embed_class:
        position = resize_position(net.pos_embed, 0, net.patch_embed.grid_size, grid)
        tokens = torch.cat([*prefix, tokens + position], dim=1)
    else:
        position = resize_position(
            net.pos_embed, net.num_prefix_tokens, net.patch_embed.grid_size, grid
        )
        tokens = torch.cat([*prefix, tokens], dim=1) + position
    return net.norm_pre(net.patch_drop(net.pos_drop(tokens))), grid


def _is_plain_vit(net: nn.Module) -> bool:
    """Whether `_embed` supports the model: neither a distillation nor a hybrid variant."""
    from timm.layers.patch_embed import PatchEmbed
    from timm.models import VisionTransformer

    return type(net) is VisionTransformer and type(net.patch_embed) is PatchEmbed


def _checkpoint_cnn(net: Any, enabled: bool) -> None:  # noqa: ANN401 - timm ships no types
    try:
        net.set_grad_checkpointing(enabled)
    # Some models lack the method; others have a method that fails with an assertion.
    except (AttributeError, AssertionError):
        if enabled:
            raise ConfigError(
                f"timm does not support activation checkpointing for a {type(net).__name__}",
                where="runtime.activation_checkpointing",
                remedy="--set runtime.activation_checkpointing=false, or choose another student.encoder",
            ) from None


def _default_levels(count: int, even: bool) -> tuple[int, ...]:
    """Return a transformer's default taps, or the last four levels of a pyramid; the first repeats if it has fewer."""
    if even:
        return default_taps(count)
    return tuple(max(0, level) for level in range(count - 4, count))


def _tiles(images_BCHW: Tensor, rows: int, columns: int) -> Tensor:
    """Cut images into tiles: [B, C, rows * h, columns * w] -> [B * rows * columns, C, h, w]."""
    if rows == columns == 1:
        return images_BCHW
    tiles: Tensor = images_BCHW.unflatten(3, (columns, -1)).unflatten(2, (rows, -1))
    return tiles.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def _joined(tiles_BCHW: Tensor, rows: int, columns: int) -> Tensor:
    """Join maps of tiles: [B * rows * columns, C, h, w] -> [B, C, rows * h, columns * w]."""
    if rows == columns == 1:
        return tiles_BCHW
    tiles: Tensor = tiles_BCHW.unflatten(0, (-1, rows, columns))
    return tiles.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


def _without_dropout(net: nn.Module) -> None:
    """Disable dropout and stochastic depth, which some of timm's models have by default."""
    from timm.layers.drop import DropPath

    for module in net.modules():
        if isinstance(module, DropPath):
            module.drop_prob = 0.0
        elif isinstance(module, nn.Dropout):
            module.p = 0.0


def _checked_taps(
    settings: StudentSettings, depth: int, default: tuple[int, ...]
) -> tuple[int, ...]:
    taps = settings.taps
    if taps is None:
        return default
    if not (0 <= taps[0] < taps[1] < taps[2] < taps[3] < depth):
        raise ConfigError(
            f"expected four rising numbers from 0 to {depth - 1}, found {list(taps)}",
            where="student.taps",
            remedy=f"leave student.taps out, or name four of the {depth} blocks or levels of "
            f"'{settings.encoder}'",
        )
    return taps
