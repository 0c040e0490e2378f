"""The commands that a user types for each benchmark, from its archives to its maps, and the expected results."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.layouts import CROPS, POTSDAM, lay_out_deepglobe, lay_out_loveda, lay_out_potsdam

DINO = "dinov2_vits14_lineage_fp16.safetensors"
LITE0 = "tf_efficientnet_lite0_fp16.safetensors"
PROTOCOLS = ("rsmtdf", "official", "dwl")
IGNORED = 255

Ids = np.ndarray
"""Class ids [H, W], 255 where no class is."""


def _counted_from_1(raw: np.ndarray) -> Ids:
    return np.where(raw == 0, IGNORED, raw.astype(int) - 1)


def _as_they_are(raw: np.ndarray) -> Ids:
    return raw.astype(int)


def _potsdam_colors(raw: np.ndarray) -> Ids:
    ids = np.full(raw.shape[:2], IGNORED)
    for number, color in enumerate(POTSDAM):
        ids[(raw == np.array([*bytes.fromhex(color)])).all(axis=2)] = number
    return ids


@dataclass(frozen=True)
class Case:
    """The commands that a user types for a benchmark, and the expected results.

    Attributes:
        benchmark: its name.
        lay_out: writes its files from the samples into a folder.
        tiles: how many images that are.
        options: further words for `data prepare`; {source} is that folder.
        manifest: name of the manifest that is trained on.
        title: name of the dataset in reports.
        classes: names in the order of their ids.
        scenes: of each split.
        labeled: how many of the training scenes.
        note: sentence on the split that every report must contain.
        teacher: as the config has it; {weights} is its file.
        weights: the file's name; None for random ones.
        student: its encoder.
        student_weights: the file's name; None for random ones.
        window: px, of the sliding window.
        unscored: the class that each protocol leaves out.
        truth: a published mask's pixels as class ids.
        padded: whether protocols of public code pad test windows.
    """

    benchmark: str
    lay_out: Callable[[Path, Path], None]
    tiles: int
    options: tuple[str, ...]
    manifest: str
    title: str
    classes: tuple[str, ...]
    scenes: dict[str, int]
    labeled: int
    note: str
    teacher: str
    weights: str | None
    student: str
    student_weights: str | None
    window: int
    unscored: dict[str, str | None]
    truth: Callable[[np.ndarray], Ids]
    padded: bool = False

    @property
    def unlabeled(self) -> int:
        """Training scenes whose masks are not used."""
        return self.scenes["train"] - self.labeled


BY_TILE = "by parent tile: no test crop shares its parent tile with a training crop"

CASES = (
    Case(
        benchmark="loveda",
        lay_out=lay_out_loveda,
        tiles=4,
        options=(),
        manifest="loveda",
        title="LoveDA land cover, rural and urban",
        classes=("background", "building", "road", "water", "barren", "forest", "agriculture"),
        scenes={"train": 8, "val": 4, "test": 4},
        labeled=4,
        note=BY_TILE,
        teacher="{name: dino, family: timm, model: vit_small_patch14_dinov2.lvd142m, weights: '{weights}', "
        "input_size: 70}",
        weights=DINO,
        student="tf_efficientnet_lite0",
        student_weights=LITE0,
        window=320,
        unscored=dict.fromkeys(PROTOCOLS),
        truth=_counted_from_1,
    ),
    Case(
        benchmark="potsdam",
        lay_out=lay_out_potsdam,
        tiles=1,
        options=("--splits", "{source}/splits/1"),
        manifest="potsdam-official-1",
        title="ISPRS Potsdam, official split by crop",
        classes=("impervious", "building", "low vegetation", "tree", "car", "clutter"),
        scenes={
            "train": len(CROPS["labeled"]) + len(CROPS["unlabeled"]),
            "val": len(CROPS["val"]),
            "test": len(CROPS["test"]),
        },
        labeled=len(CROPS["labeled"]),
        note="by crop: test crops share parent tiles with training crops (2 of 2)",
        teacher="{name: vit, family: timm, model: test_vit, weights: random, input_size: 80}",
        weights=None,
        student="tf_efficientnet_lite0",
        student_weights=LITE0,
        window=320,
        unscored={"rsmtdf": "clutter", "official": "impervious", "dwl": "clutter"},
        truth=_potsdam_colors,
        padded=True,
    ),
    Case(
        benchmark="deepglobe",
        lay_out=lay_out_deepglobe,
        tiles=4,
        options=("--crops",),
        manifest="deepglobe",
        title="DeepGlobe land cover, split by image",
        classes=("urban", "agriculture", "rangeland", "forest", "water", "barren", "unknown"),
        scenes={"train": 50, "val": 25, "test": 25},
        labeled=25,
        note=BY_TILE,
        teacher="{name: lite0, family: timm, model: tf_efficientnet_lite0, weights: '{weights}', block: 3, "
        "mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}",
        weights=LITE0,
        student="test_efficientnet",
        student_weights=None,
        window=512,
        unscored=dict.fromkeys(PROTOCOLS, "unknown"),
        truth=_as_they_are,  # of the crops that are cut
    ),
)
