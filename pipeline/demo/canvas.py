"""A canvas for drawn scenes, with noise, rotation, tints, shadows and tree crowns (tests: test_scenes.py)."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Mask

Plane = npt.NDArray[np.float32]
Ids = npt.NDArray[np.uint8]
Area = tuple[slice, slice]
Tint = tuple[float, float, float]

EVERYWHERE: Area = (slice(None), slice(None))


@dataclass(frozen=True)
class Parcel:
    """A rectangle in the rotated coordinates (u, v) of a scene, px."""

    left: float
    right: float
    top: float
    bottom: float

    @property
    def width(self) -> float:
        """Extent along u, px."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Extent along v, px."""
        return self.bottom - self.top


class SceneCanvas:
    """A scene being drawn: float32 colors [S, S, 3] from 0 to 255, and class ids [S, S].

    `u` and `v` are rotated and slightly wavy coordinates, which parcels, roads and houses follow.
    `sun` is the direction of shadows.
    """

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        self.colors = np.zeros((size, size, 3), np.float32)
        self.ids = np.zeros((size, size), np.uint8)
        self.y, self.x = np.mgrid[:size, :size].astype(np.float32)
        self.angle = float(rng.uniform(-0.6, 0.6))
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        self.u = self.x * cos + self.y * sin + 1.6 * self.noise(70)
        self.v = self.y * cos - self.x * sin + 1.6 * self.noise(70)
        light = rng.uniform(0, 2 * math.pi)
        self.sun = (math.cos(light), math.sin(light))
        self.grain = self.noise(3)
        self.patches = self.noise(24)

    def noise(self, cell: float) -> Plane:
        """Draw smooth noise with features of `cell` px, mean 0 and standard deviation 1."""
        return smooth_noise(self.rng, self.size, cell)

    def tint(self, choices: tuple[Tint, ...], spread: float = 7.0) -> Plane:
        """Choose a tint and vary it slightly, float32 [3]."""
        chosen = np.array(choices[self.rng.integers(len(choices))])
        return (chosen + self.rng.normal(0, spread, 3)).astype(np.float32)

    def window(self, parcel: Parcel, margin: float = 8.0) -> Area:
        """Return the rows and columns that contain a parcel."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        corners = [
            (u * cos - v * sin, u * sin + v * cos)
            for u in (parcel.left - margin, parcel.right + margin)
            for v in (parcel.top - margin, parcel.bottom + margin)
        ]
        low = [max(0, math.floor(min(axis))) for axis in zip(*corners, strict=True)]
        high = [max(0, math.ceil(max(axis))) for axis in zip(*corners, strict=True)]
        return slice(low[1], high[1]), slice(low[0], high[0])

    def paint(self, window: Area, mask: Mask, class_id: int, tint: Plane, shade: Plane) -> None:
        """Set the class of the pixels in `mask`, and their color to a tint times a shade [h, w] around 1."""
        self.ids[window][mask] = class_id
        self.colors[window][mask] = shade[mask][:, None] * tint

    def shift(self, mask: Mask, length: float) -> Mask:
        """Shift a mask in the direction of shadows; pixels that leave the scene are lost."""
        right, down = round(self.sun[0] * length), round(self.sun[1] * length)
        moved = np.zeros_like(mask)
        size = self.size
        moved[max(0, down) : size + min(0, down), max(0, right) : size + min(0, right)] = mask[
            max(0, -down) : size - max(0, down), max(0, -right) : size - max(0, right)
        ]
        return moved


@cache
def _crowns(spacing: float) -> Plane:
    """Draw tree crowns on a torus of 512 px: height 0..1, slope x, slope y, tint; [4, 512, 512].

    Each pixel belongs to the nearest tree of a jittered grid. The texture is computed once; each
    scene shifts it and lights it from its own direction.
    """
    rng = np.random.default_rng(round(spacing * 16))
    side = 512
    cells = round(side / spacing)
    step = side / cells
    jitter = rng.uniform(-0.32, 0.32, (2, cells, cells))
    radius, tint = rng.uniform(0.5, 0.8, (cells, cells)), rng.normal(0, 1, (cells, cells))
    y, x = np.mgrid[:side, :side] / step
    best = np.full((4, side, side), -9.0)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row, column = np.floor(y).astype(int) + down, np.floor(x).astype(int) + right
            tree = row % cells, column % cells
            from_x = (x - column - 0.5 - jitter[0][tree]) / radius[tree]
            from_y = (y - row - 0.5 - jitter[1][tree]) / radius[tree]
            height = 1 - from_x**2 - from_y**2
            better = height > best[0]
            best = np.where(better, np.stack([height, from_x, from_y, tint[tree]]), best)
    best[0] = np.clip(best[0], 0, 1)
    return best.astype(np.float32)


def crown_shade(canvas: SceneCanvas, spacing: float, area: Area = EVERYWHERE) -> Plane:
    """Return the shade [h, w] of dense woods in an area: crowns bright toward the sun, gaps dark."""
    texture = _crowns(spacing)
    side = texture.shape[1]
    down, right = canvas.rng.integers(side, size=2)
    rows = (np.arange(canvas.size)[area[0]] + down) % side
    columns = (np.arange(canvas.size)[area[1]] + right) % side
    height, slope_x, slope_y, tint = texture[:, rows[:, None], columns]
    lit = np.clip(-slope_x * canvas.sun[0] - slope_y * canvas.sun[1], -1, 1)
    shade: Plane = 0.62 + 0.42 * np.sqrt(height) + 0.3 * lit + 0.08 * tint
    return shade


def smooth_noise(rng: np.random.Generator, size: int, cell: float) -> Plane:
    """Interpolate random numbers on a coarse grid by cubic B-splines; mean 0, standard deviation 1."""
    weights = _spline_weights(size, cell)
    grid = rng.standard_normal((weights.shape[1], weights.shape[1]), np.float32)
    field: Plane = (weights @ grid @ weights.T).astype(np.float32, copy=False)
    sample = field[::4, ::4]
    field -= sample.mean()
    field /= sample.std() + np.float32(1e-6)
    return field


@cache
def _spline_weights(size: int, cell: float) -> Plane:
    """Return the weight of each grid point for each pixel along an axis, float32 [size, points]."""
    positions = np.arange(size) / cell + 1
    points = np.arange(int(size / cell) + 4)
    distance = np.abs(positions[:, None] - points[None, :])
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, inner, outer).astype(np.float32)
