"""The student's encoder: a timm vision transformer or CNN that returns four feature maps.

The reference resizes a transformer's position embedding by a scale factor with a small offset and
without antialiasing. timm resizes by size and with antialiasing, which changes features by 2 %. So
this module implements the embedding step and uses timm's blocks, norms and weights.
"""

from __future__ import annotations

import difflib
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from rsmtdf_core.errors import ConfigError, MissingFileError, TeacherError
from rsmtdf_core.positions import resize_position
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.student.stages import freeze_stages, held_modules
from rsmtdf_core.weights.hub import cached_file, download
from rsmtdf_core.weights.states import load_exactly, read_state, timm_state
from rsmtdf_core.weights.timm_models import LIST_MODELS

if TYPE_CHECKING:
    from timm.models import VisionTransformer

# By depth, the taps of the reference that are not the quarters of the depth (ViT-L).
REFERENCE_TAPS = {24: (4, 11, 17, 23)}


class Encoder(nn.Module):
    """Compute four feature maps of an image, fine to coarse (CNN) or early to late (ViT).

    Layers after the last tap are dropped, so every remaining parameter gets a gradient, except for those of frozen
    stages. Frozen stages and frozen batch norms stay in eval mode in training. Pretrained weights cover three bands.
    The first convolution starts at 0 for other bands, so the initial features depend only on these three.

    Attributes:
        taps: the blocks or levels that output the maps.
        channels: channels of each map.
        reductions: image px per map cell, for each map.
        patch: divisor of the image sides: a ViT's patch in px, 1 for a CNN.

    Raises:
        ConfigError: If the model is unknown or unsuitable, its weights are unavailable or do not fit, or
            the taps or frozen stages do not exist.
        MissingFileError: If `settings.weights` is the path of a missing file.
    """

    def __init__(self, settings: StudentSettings, bands: int = SHOWN) -> None:
        super().__init__()
        net = _load_net(settings, bands)
        self.is_vit = _is_plain_vit(net)
        if self.is_vit:
            depth = len(net.blocks)
            self.taps = _checked_taps(settings, depth, default_taps(depth))
            self.patch = int(net.patch_embed.patch_size[0])
            self.channels = [int(net.embed_dim)] * 4
            self.reductions = [self.patch] * 4
        else:
            levels = _pyramid_levels(net, settings)
            last_four = tuple(range(len(levels) - 4, len(levels)))
            self.taps = _checked_taps(settings, len(levels), last_four)
            self.patch = 1
            self.channels = [levels[tap][0] for tap in self.taps]
            self.reductions = [levels[tap][1] for tap in self.taps]
        net.prune_intermediate_layers(list(self.taps), prune_norm=not self.is_vit, prune_head=True)
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
        maps: list[Tensor] = self.net.forward_intermediates(
            images_BCHW, indices=list(self.taps), intermediates_only=True
        )
        if self._checkpointed:
            self._move_statistics(enabled=False)
        return maps

    def train(self, mode: bool = True) -> Self:
        """Switch between training and eval mode, except for what is frozen."""
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
    return REFERENCE_TAPS.get(depth) or tuple(depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4))


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


def _load_net(settings: StudentSettings, bands: int) -> Any:  # noqa: ANN401 - timm ships no types
    import timm

    name, weights = settings.encoder, settings.weights
    architecture = name.split(".", 1)[0]
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models(), n=1)
        raise ConfigError(
            f"timm has no model '{name}'" + (f", did you mean '{close[0]}'?" if close else ""),
            where="student.encoder",
            remedy=f"correct student.encoder; list all models: {LIST_MODELS}",
        )
    try:
        net = timm.create_model(name, pretrained=False, num_classes=0, in_chans=bands)
    except RuntimeError as problem:
        raise ConfigError(
            f"timm cannot create '{name}': {problem}",
            where="student.encoder",
            remedy=f"correct student.encoder; list all models: {LIST_MODELS}",
        ) from problem
    if weights != "random":
        _load_file(net, _cached_file(name) if weights == "hub" else Path(weights).expanduser())
    return net


def fetch_encoder(settings: StudentSettings) -> None:
    """Download the encoder's weights to the hub's local cache, if `settings.weights` is "hub".

    Raises:
        ConfigError: If the hub has no weights for this encoder.
        OSError: If the hub is unreachable.
    """
    if settings.weights == "hub":
        download(*_hub_file(settings.encoder))


def _hub_file(encoder: str) -> tuple[str, str]:
    from rsmtdf_core.weights.timm_models import hub_file

    try:
        return hub_file(encoder)
    except TeacherError as fault:
        raise ConfigError(
            fault.what,
            where="student.weights",
            remedy="set student.weights to the path of a file, or to 'random'",
        ) from fault


def _cached_file(encoder: str) -> Path:
    """Return the path of the encoder's weights in the hub's local cache; never use the network."""
    repository, name = _hub_file(encoder)
    path = cached_file(repository, name)
    if path is None:
        raise ConfigError(
            f"the weights of the student's encoder '{encoder}' are not in the hub's local cache",
            where="student.weights",
            remedy=f"run `hf download {repository} {name}` on a machine with network access and share "
            "the cache (HF_HOME), or set student.weights to the path of a file, or to 'random'",
        )
    return path


def _load_file(net: Any, path: Path) -> None:  # noqa: ANN401 - timm ships no types
    """Load every tensor of `net` from a file with timm's names or those of the original code."""
    if not path.exists():
        raise MissingFileError(
            "the student's weights file does not exist",
            where=f"student.weights: {path}",
            remedy="set student.weights to an existing file, 'hub' or 'random'",
        )
    classifier = net.pretrained_cfg.get("classifier") or ()
    unused = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    try:
        state = timm_state(net, read_state(path))
        _widen(net, state)
        load_exactly(net, state, tuple(f"{layer}." for layer in unused))
    except TeacherError as fault:
        raise ConfigError(
            fault.what, where=f"student.weights: {path}", remedy=fault.remedy
        ) from fault


def _widen(net: Any, state: dict[str, Tensor]) -> None:  # noqa: ANN401 - timm ships no types
    """Pad the first convolution in `state` with zeros for additional bands."""
    name = f"{net.pretrained_cfg.get('first_conv')}.weight"
    if name not in state or state[name].ndim < 2:
        return
    missing = net.get_parameter(name).shape[1] - state[name].shape[1]
    if missing > 0:
        state[name] = torch.cat([state[name], *[torch.zeros_like(state[name][:, :1])] * missing], 1)


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


def _pyramid_levels(net: Any, settings: StudentSettings) -> list[tuple[int, int]]:  # noqa: ANN401 - timm
    """Return the channels and reduction of each level; raise ConfigError unless they form a pyramid."""
    levels = [(int(level["num_chs"]), int(level["reduction"])) for level in net.feature_info]
    reductions = [reduction for _, reduction in levels]
    rises = all(fine < coarse for fine, coarse in pairwise(reductions))
    if len(levels) < 4 or not rises or not hasattr(net, "prune_intermediate_layers"):
        raise ConfigError(
            f"'{settings.encoder}' is neither a plain vision transformer nor a pyramid of four "
            f"levels or more: its levels reduce the image by {reductions}",
            where="student.encoder",
            remedy="set student.encoder to a ViT such as vit_small_patch14_dinov2.lvd142m or a CNN "
            "such as resnet50",
        )
    return levels


def _checked_taps(
    settings: StudentSettings, depth: int, default: tuple[int, ...]
) -> tuple[int, ...]:
    taps = settings.taps or default
    if not (0 <= taps[0] < taps[1] < taps[2] < taps[3] < depth):
        raise ConfigError(
            f"expected four rising numbers from 0 to {depth - 1}, found {list(taps)}",
            where="student.taps",
            remedy=f"leave student.taps out, or name four of the {depth} blocks or levels of "
            f"'{settings.encoder}'",
        )
    return taps
