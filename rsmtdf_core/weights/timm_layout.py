"""The sizes of images that a timm model takes, and the maps that it outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.weights.timm_models import create

Levels = tuple[tuple[int, int], ...]
"""Channels, and image px per cell, of each map."""


class UnfitSizeError(ValueError):
    """A model that outputs no maps of images of a size; the message is the reason."""


@dataclass(frozen=True)
class Layout:
    """How to create a model for images of a size, and its maps.

    Attributes:
        options: arguments of `timm_models.create`.
        unit: the sides of images are multiples of this number of px.
        tiled: whether the model takes only squares of `unit` px.
        levels: the maps.
    """

    options: Mapping[str, Any]
    unit: int
    tiled: bool
    levels: Levels


@lru_cache
def find_layout(model: str, side: int, bands: int) -> Layout:
    """Find how to create a model for images of `side` px, by trials on the meta device.

    In this order: as timm creates it by default; with positions and masks computed for each image
    (`dynamic_img_size`); for squares of this size (`img_size`). A model that takes one size alone is the last choice.

    Raises:
        TeacherError: If timm has no such model.
        UnfitSizeError: If no trial outputs maps of an image of `side` px.
    """
    with torch.random.fork_rng(devices=[]):  # results must not depend on the cache of this function
        return _tried(model, side, bands)


def _tried(model: str, side: int, bands: int) -> Layout:
    fixed: Layout | None = None
    reasons: list[Exception] = []
    trials: tuple[dict[str, Any], ...] = ({}, {"dynamic_img_size": True}, {"img_size": side})
    for options in trials:
        try:
            trial = _Trial(model, bands, options)
            maps = trial.maps(side, side)
        except RsmtdfError:
            raise
        except Exception as failure:  # noqa: BLE001 - timm's models raise any class
            reasons.append(failure)
            continue
        levels = trial.levels(maps, side)
        coarsest = max(reduction for _, reduction in levels)
        if is_even(levels) and side % coarsest:
            reasons.append(ValueError(f"its patches of {coarsest} px do not fill {side} px"))
            continue
        for unit in () if "img_size" in options else sorted({1, coarsest, side}):
            if side % unit == 0 and trial.scales(maps, side, *_unequal_sides(side, unit)):
                return Layout(options, unit, tiled=False, levels=levels)
        fixed = fixed or Layout(options, side, tiled=True, levels=levels)
    if fixed is None:
        raise UnfitSizeError(_sentence(reasons))
    return fixed


def is_even(levels: Levels) -> bool:
    """Whether all maps have the same grid, as those of a plain transformer."""
    return len({reduction for _, reduction in levels}) == 1


class _Trial:
    """A model without memory for its weights."""

    def __init__(self, model: str, bands: int, options: dict[str, Any]) -> None:
        self._bands = bands
        with torch.device("meta"):
            self._net = create(model, in_chans=bands, **options).net.eval()

    def maps(self, height: int, width: int) -> list[torch.Size]:
        """Return the shapes [1, C, h, w] of an image's maps, with the final norm if their grids are equal.

        Raises:
            Exception: If there are none; timm's models raise any class.
        """
        shapes = self._maps(height, width)
        even = len({shape[2:] for shape in shapes}) == 1
        return self._maps(height, width, norm=True) if even else shapes

    def _maps(self, height: int, width: int, **options: bool) -> list[torch.Size]:
        with torch.device("meta"), torch.inference_mode():
            image = torch.empty(1, self._bands, height, width)
            maps = self._net.forward_intermediates(image, intermediates_only=True, **options)
        return [map_BCHW.shape for map_BCHW in maps]

    def levels(self, maps: list[torch.Size], side: int) -> Levels:
        """Return the levels of the maps of a square; px per cell as the model states, unless its maps contradict."""
        stated = [int(level["reduction"]) for level in self._net.feature_info]
        return tuple(
            (shape[1], reduction if 0.5 < side / shape[2] / reduction < 2 else side // shape[2])
            for shape, reduction in zip(maps, stated, strict=True)
        )

    def scales(self, maps: list[torch.Size], side: int, height: int, width: int) -> bool:
        """Whether a larger image has the same maps but for their size, which grows with the image."""
        try:
            larger = self.maps(height, width)
        except Exception:  # noqa: BLE001 - timm's models raise any class
            return False
        # Less than in proportion only by rounding. Models that resize images to their own size have equal grids.
        return all(
            large[1] == small[1]
            and large[2] * side > 0.6 * small[2] * height
            and large[3] * side > 0.6 * small[3] * width
            for large, small in zip(larger, maps, strict=True)
        )


def _unequal_sides(side: int, unit: int) -> tuple[int, int]:
    """Return larger, unequal sides, multiples of `unit` but not of larger units.

    A model for squares then fails, and a model that resizes images to its own size shows.
    """
    if unit == side:
        return 3 * side, 2 * side
    rows = 2 * (side // unit) + 1
    return rows * unit, (rows + 2) * unit


def _sentence(reasons: list[Exception]) -> str:
    """Return the most telling reason in one line: not that a model lacks an option."""
    telling = [reason for reason in reasons if not isinstance(reason, TypeError | AttributeError)]
    text = " ".join(str((telling or reasons)[-1]).split())
    return text or "it outputs no maps"
