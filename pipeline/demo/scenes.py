"""Draws synthetic land cover, so that every command can be tried without a download.

The scenes fit the packaged manifest `synthetic`: smooth terrain with lakes and rivers, fields with
rows, forests with crowns, roads, villages with shadows, and bare soil. Each class has several tints
and textures, and the light varies from scene to scene, so that a student has something to learn. A
pixel covers about a meter, whatever the size of a scene.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.demo.canvas import (
    EVERYWHERE,
    Area,
    Ids,
    Parcel,
    Plane,
    SceneCanvas,
    Tint,
    crown_shade,
)
from rsmtdf_core.arrays import Mask
from rsmtdf_core.files import atomic_file
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.masks import colorize

CLASSES = ("water", "field", "forest", "road", "building", "soil")
WATER, FIELD, FOREST, ROAD, BUILDING, SOIL = range(6)

_CROPS: tuple[Tint, ...] = (
    (104, 132, 62),
    (128, 148, 70),
    (84, 116, 60),
    (188, 170, 98),
    (206, 188, 126),
    (150, 146, 82),
    (116, 140, 92),
)
_SOILS: tuple[Tint, ...] = ((158, 124, 92), (176, 146, 110), (136, 104, 80), (190, 166, 132))
_WATERS: tuple[Tint, ...] = ((38, 66, 84), (46, 80, 82), (58, 82, 74), (34, 60, 92))
_WOODS: tuple[Tint, ...] = ((58, 86, 50), (48, 76, 54), (72, 94, 52), (42, 66, 46))
_ROOFS: tuple[Tint, ...] = (
    (168, 88, 66),
    (150, 78, 62),
    (186, 112, 84),
    (132, 128, 128),
    (206, 202, 196),
    (112, 92, 82),
)
_PAVINGS: tuple[Tint, ...] = ((134, 132, 130), (158, 154, 148), (116, 116, 120))


def draw_scenes(folder: Path, count: int, size: int, seed: int) -> None:
    """Write `count` scenes of `size` x `size` px as images/NNNN.png and masks/NNNN.png.

    Scene number n does not depend on the count.
    """
    manifest = load_manifest("synthetic")
    assert manifest.class_names == CLASSES
    for number in range(count):
        image, ids = draw_scene(size, seed, number)
        name = f"{number:04d}.png"
        with atomic_file(folder / "images" / name) as file:
            Image.fromarray(image).save(file, "PNG", compress_level=4)
        with atomic_file(folder / "masks" / name) as file:
            Image.fromarray(colorize(ids, manifest)).save(file, "PNG")


def draw_scene(size: int, seed: int, number: int) -> tuple[npt.NDArray[np.uint8], Ids]:
    """Draw a scene: image uint8 [S, S, 3] and class ids uint8 [S, S]."""
    canvas = SceneCanvas(size, np.random.default_rng([seed, number]))
    canvas.ids[:] = FIELD
    rng = canvas.rng
    parcels, cuts = _divide(canvas)
    villages = []
    for parcel in parcels:
        kind = rng.random()
        if kind < 0.17 and min(parcel.width, parcel.height) > 45:
            villages.append(parcel)
            _draw_soil(canvas, parcel)
        elif kind < 0.33:
            _draw_soil(canvas, parcel)
        else:
            _draw_field(canvas, parcel)
    _plant_forest(canvas)
    # The main road crosses the river's direction; otherwise both would follow the same bends.
    along_x = bool(rng.random() < 0.5)
    _draw_water(canvas, along_x)
    _draw_roads(canvas, cuts, not along_x)
    for village in villages:
        _build_village(canvas, village)
    for parcel in parcels:
        if parcel not in villages and rng.random() < 0.2:
            _build_farm(canvas, parcel)
    return _light(canvas), canvas.ids


def _divide(canvas: SceneCanvas) -> tuple[list[Parcel], list[Parcel]]:
    """Cut the land into parcels. Also return some of the cuts, as parcels without width, for roads."""
    reach = 1.5 * canvas.size
    rest = [Parcel(-reach, reach, -reach, reach)]
    parcels, cuts = [], []
    while rest:
        parcel = rest.pop()
        along_u = parcel.width > parcel.height
        length = parcel.width if along_u else parcel.height
        if canvas.ids[canvas.window(parcel)].size == 0:
            continue
        if length < canvas.rng.uniform(80, 150):
            parcels.append(parcel)
            continue
        at = (parcel.left if along_u else parcel.top) + length * canvas.rng.uniform(0.36, 0.64)
        left, right, top, bottom = parcel.left, parcel.right, parcel.top, parcel.bottom
        if along_u:
            halves = Parcel(left, at, top, bottom), Parcel(at, right, top, bottom)
            cut = Parcel(at, at, top, bottom)
        else:
            halves = Parcel(left, right, top, at), Parcel(left, right, at, bottom)
            cut = Parcel(left, right, at, at)
        rest += halves
        if canvas.rng.random() < 0.3 and length < 2 * canvas.size:
            cuts.append(cut)
    return parcels, cuts


def _inside(canvas: SceneCanvas, parcel: Parcel, margin: float) -> tuple[Area, Mask]:
    window = canvas.window(parcel, margin + 6)
    u, v = canvas.u[window], canvas.v[window]
    return window, (
        (u > parcel.left - margin)
        & (u < parcel.right + margin)
        & (v > parcel.top - margin)
        & (v < parcel.bottom + margin)
    )


def _draw_field(canvas: SceneCanvas, parcel: Parcel) -> None:
    """Draw a crop: rows along the longer side, tractor tracks between them, and an edge."""
    rng = canvas.rng
    window, mask = _inside(canvas, parcel, 0.5)
    across = (canvas.v if parcel.width > parcel.height else canvas.u)[window]
    rows = np.sin(across * np.float32(2 * math.pi / rng.uniform(3.5, 9))) * rng.uniform(0, 0.08)
    tracks = (across % np.float32(rng.uniform(18, 30)) < 1.6) * -rng.uniform(0, 0.12)
    shade = 1 + rows + tracks + 0.05 * canvas.patches[window] + 0.035 * canvas.grain[window]
    u, v = canvas.u[window], canvas.v[window]
    edge = np.minimum(
        np.minimum(u - parcel.left, parcel.right - u), np.minimum(v - parcel.top, parcel.bottom - v)
    )
    shade += (edge < 2.0) * rng.choice([-0.22, -0.12, 0.1])
    canvas.paint(window, mask, FIELD, canvas.tint(_CROPS), shade.astype(np.float32))


def _draw_soil(canvas: SceneCanvas, parcel: Parcel) -> None:
    """Draw bare ground, partly plowed."""
    window, mask = _inside(canvas, parcel, 0.5)
    furrows = np.sin(canvas.u[window] * np.float32(2.4)) * canvas.rng.choice([0.0, 0.05])
    shade = 1 + furrows + 0.07 * canvas.patches[window] + 0.06 * canvas.grain[window]
    canvas.paint(window, mask, SOIL, canvas.tint(_SOILS, 3), shade.astype(np.float32))


def _plant_forest(canvas: SceneCanvas) -> None:
    """Draw woods with ragged edges across parcels, and their shadows."""
    rng = canvas.rng
    level = canvas.noise(95) + 0.35 * canvas.patches + 0.22 * canvas.noise(8)
    wood = level > rng.uniform(0.45, 1.0)
    lone = (canvas.noise(7) > 2.3) & (level > -1.0)
    mask = wood | lone
    for length in (2, 4):
        canvas.colors[canvas.shift(mask, length) & ~mask] *= 0.72
    spacing = float(rng.choice([5.5, 7.0, 9.0]))
    shade = crown_shade(canvas, spacing) * (1 + 0.07 * canvas.noise(40))
    canvas.paint(EVERYWHERE, mask, FOREST, canvas.tint(_WOODS, 5), shade)


def _draw_water(canvas: SceneCanvas, along_x: bool) -> None:
    """Draw a lake, a river or both, with banks of soil; deep water is darker."""
    rng = canvas.rng
    depth = np.full((canvas.size, canvas.size), -99, np.float32)
    if rng.random() < 0.55:
        level = canvas.noise(110) + 0.12 * canvas.patches
        depth = 14 * (level - np.float32(rng.uniform(1.0, 1.5)))
    if rng.random() < 0.6:
        distance, half_width = _course(canvas, along_x, 36, rng.uniform(7, 15))
        depth = np.maximum(depth, half_width - np.abs(distance))
    bank = (depth > -rng.uniform(1.5, 4.0) + 0.8 * canvas.grain) & (depth <= 0)
    canvas.paint(EVERYWHERE, bank, SOIL, canvas.tint(_SOILS, 3), 0.94 + 0.06 * canvas.grain)
    ripples = np.sin(canvas.u * 0.9 + 2.5 * canvas.patches) * canvas.noise(30) * 0.02
    shade = 1.32 - 0.4 * np.clip(depth / 10, 0, 1) + ripples + 0.015 * canvas.grain
    canvas.paint(EVERYWHERE, depth > 0, WATER, canvas.tint(_WATERS), shade.astype(np.float32))


def _course(
    canvas: SceneCanvas, along_x: bool, swing: float, half_width: float
) -> tuple[Plane, Plane]:
    """Draw a winding line through the scene: distance from it, px, and a slowly varying half width."""
    rng = canvas.rng
    along, across = (canvas.x, canvas.y) if along_x else (canvas.y, canvas.x)
    middle = canvas.size * rng.uniform(0.25, 0.75) + rng.uniform(-0.5, 0.5) * (
        along - canvas.size / 2
    )
    phase, length = rng.uniform(0, 2 * math.pi, 2), rng.uniform(110, 260, 2)
    turns = along * np.float32(2 * math.pi / length[0]) + np.float32(phase[0])
    bends = along * np.float32(4 * math.pi / length[1]) + np.float32(phase[1])
    off = across - middle - swing * (np.sin(turns) + 0.3 * np.sin(bends)) / 1.3
    # Where the line is steep, the distance along the axis exceeds the distance from the line.
    steep_y, steep_x = np.gradient(off, axis=0), np.gradient(off, axis=1)
    distance = off / np.sqrt(steep_x**2 + steep_y**2)
    width = half_width * (1 + 0.12 * np.sin(bends * 0.7))
    return distance.astype(np.float32), width.astype(np.float32)


def _draw_roads(canvas: SceneCanvas, cuts: list[Parcel], along_x: bool) -> None:
    """Draw lanes between parcels, and a winding main road that crosses water on bridges."""
    rng = canvas.rng
    for cut in cuts:
        window, mask = _inside(canvas, cut, rng.uniform(1.4, 2.4))
        mask &= canvas.ids[window] != WATER
        shade = 1 + 0.05 * canvas.grain[window]
        canvas.paint(window, mask, ROAD, canvas.tint(_PAVINGS), shade)
    if rng.random() < 0.75:
        distance = np.abs(_course(canvas, along_x, rng.uniform(5, 40), 1)[0])
        half_width = rng.uniform(3.2, 4.6)
        paving = (
            1 + 0.03 * canvas.grain + 0.3 * (distance < 0.55) - 0.1 * (distance > half_width - 1)
        )
        canvas.paint(EVERYWHERE, distance < half_width, ROAD, canvas.tint(_PAVINGS), paving)


def _build_village(canvas: SceneCanvas, parcel: Parcel) -> None:
    """Draw a lane along the longer side, rows of houses on both sides, and garden trees."""
    rng = canvas.rng
    wide = parcel.width > parcel.height
    middle = (parcel.top + parcel.bottom) / 2 if wide else (parcel.left + parcel.right) / 2
    lane = (
        Parcel(parcel.left, parcel.right, middle, middle)
        if wide
        else Parcel(middle, middle, parcel.top, parcel.bottom)
    )
    window, mask = _inside(canvas, lane, 2.0)
    mask &= canvas.ids[window] != WATER
    canvas.paint(window, mask, ROAD, canvas.tint(_PAVINGS), 1 + 0.04 * canvas.grain[window])
    window, mask = _inside(canvas, parcel, -2)
    mask &= (canvas.ids[window] == SOIL) & (canvas.noise(6)[window] > 1.35)
    canvas.paint(window, mask, FOREST, canvas.tint(_WOODS), crown_shade(canvas, 5.5, window))
    for along, aside in _lots(rng, parcel, wide):
        u, v = (along, middle + aside) if wide else (middle + aside, along)
        long, deep = rng.uniform(9, 15), rng.uniform(8, 11)
        _build_house(canvas, u, v, *((long, deep) if wide else (deep, long)))


def _lots(rng: np.random.Generator, parcel: Parcel, wide: bool) -> Iterator[tuple[float, float]]:
    """Yield the positions of houses: along the lane, and to the side of it."""
    start, end = (parcel.left, parcel.right) if wide else (parcel.top, parcel.bottom)
    reach = (parcel.height if wide else parcel.width) / 2 - 8
    for row in (11.0, 30.0, 49.0):
        for side in (-row, row):
            along = start + 9
            while row < reach and along < end - 8:
                if rng.random() < 0.88:
                    yield along, side + rng.uniform(-1.5, 1.5)
                along += rng.uniform(17, 23)


def _build_farm(canvas: SceneCanvas, parcel: Parcel) -> None:
    """Draw a house and a long barn in a corner of a parcel."""
    u, v = parcel.left + 16, parcel.top + 12
    _build_house(canvas, u, v, canvas.rng.uniform(18, 26), canvas.rng.uniform(9, 12))
    _build_house(canvas, u + 2, v + 19, canvas.rng.uniform(9, 13), canvas.rng.uniform(8, 10))


def _build_house(canvas: SceneCanvas, u: float, v: float, width: float, depth: float) -> None:
    """Draw a gable roof and its shadow, unless the ground is occupied."""
    house = Parcel(u - width / 2, u + width / 2, v - depth / 2, v + depth / 2)
    window = canvas.window(house, 8)
    if 0 in canvas.ids[window].shape:
        return
    from_u, from_v = canvas.u[window] - u, canvas.v[window] - v
    roof = (np.abs(from_u) < width / 2) & (np.abs(from_v) < depth / 2)
    if not roof.any() or np.isin(canvas.ids[window][roof], (WATER, ROAD, BUILDING)).any():
        return
    cos, sin = math.cos(canvas.angle), math.sin(canvas.angle)
    sun_u, sun_v = (
        canvas.sun[0] * cos + canvas.sun[1] * sin,
        canvas.sun[1] * cos - canvas.sun[0] * sin,
    )
    shadow = np.zeros_like(roof)
    for length in (1.5, 3.0, 4.5):
        shadow |= (np.abs(from_u - length * sun_u) < width / 2) & (
            np.abs(from_v - length * sun_v) < depth / 2
        )
    canvas.colors[window][shadow & ~roof & (canvas.ids[window] != BUILDING)] *= 0.5
    slope = np.sign(from_v) * sun_v if width > depth else np.sign(from_u) * sun_u
    canvas.paint(window, roof, BUILDING, canvas.tint(_ROOFS), (1 - 0.16 * slope).astype(np.float32))


def _light(canvas: SceneCanvas) -> npt.NDArray[np.uint8]:
    """Apply hill shade, light and haze of the scene, slight lens blur, and sensor noise."""
    rng = canvas.rng
    hills = canvas.noise(80) * 14
    down, right = np.gradient(hills, axis=0), np.gradient(hills, axis=1)
    relief = 1 - 0.25 * (right * canvas.sun[0] + down * canvas.sun[1])
    light = rng.uniform(0.9, 1.14) * (1 + rng.normal(0, 0.025, 3))
    colors = canvas.colors * (relief[..., None] * light).astype(np.float32)
    haze = rng.uniform(0, 0.08)
    colors = colors * (1 - haze) + haze * 205
    padded = np.pad(colors, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = padded[:-2] * 0.2 + padded[1:-1] * 0.6 + padded[2:] * 0.2
    blurred = rows[:, :-2] * 0.2 + rows[:, 1:-1] * 0.6 + rows[:, 2:] * 0.2
    noisy = blurred + rng.standard_normal(colors.shape, np.float32) * 2.2
    image: npt.NDArray[np.uint8] = np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
    return image
