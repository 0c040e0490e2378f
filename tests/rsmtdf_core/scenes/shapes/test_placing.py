"""Geometries on the pixels of an image, compared with a test of each pixel's center in the CRS of the labels."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.warp import transform

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.images.frame import Frame
from rsmtdf_core.scenes.shapes.mask import burn
from rsmtdf_core.scenes.shapes.placing import placed

UTM, WEB, DEGREES = (CRS.from_epsg(code) for code in (32640, 3857, 4326))
CENTER = 56.0, 25.3  # degrees east and north
SIDE = 40
NEAR = 0.05  # px; centers this close to an edge may be on either side


def frame_of(crs: CRS, pixel: float, *, upward: bool = False, turn: float = 0.0) -> Frame:
    """An image of 40 x 30 px around the center; `pixel` is in units of its CRS."""
    [x], [y] = transform(DEGREES, crs, [CENTER[0]], [CENTER[1]])
    way = 1 if upward else -1
    middle = Affine.translation(x, y) @ Affine.rotation(turn) @ Affine.scale(pixel, way * pixel)
    return Frame(SIDE, 30, crs, middle @ Affine.translation(-SIDE / 2, -15))


def centers(frame: Frame, crs: CRS) -> np.ndarray:
    """The center of each pixel in a CRS, [H, W, 2]."""
    columns, rows = np.meshgrid(np.arange(frame.width) + 0.5, np.arange(frame.height) + 0.5)
    a, b, c, d, e, f = frame.transform[:6]
    x, y = columns.ravel(), rows.ravel()
    moved = transform(frame.crs, crs, a * x + b * y + c, d * x + e * y + f)
    return np.stack(moved, axis=-1).reshape(frame.height, frame.width, 2)


def star(generator: np.random.Generator, middle: np.ndarray, reach: np.ndarray):
    """A polygon with a random number of corners around a point, sometimes with a hole."""
    corners = generator.integers(3, 9)
    angles = np.sort(generator.uniform(0, 2 * np.pi, corners))
    radii = generator.uniform(0.2, 1, corners)[:, None]
    ring = middle + reach * radii * np.column_stack([np.cos(angles), np.sin(angles)])
    shape = shapely.make_valid(shapely.Polygon(ring))
    if generator.random() < 0.3:
        shape = shape.difference(shapely.affinity.scale(shape, 0.4, 0.4))
    return shape


FRAMES = {UTM: (0.5, 10.0), WEB: (0.6, 12.0), DEGREES: (5e-6, 1e-4)}


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([UTM, WEB, DEGREES]),
    st.sampled_from([UTM, WEB, DEGREES]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 30.0, 200.0]),
    st.sampled_from([0.5, 3.0, 2000.0]),
)
def test_a_pixel_has_the_class_at_its_center(seed, crs, labels, coarse, upward, turn, size):
    generator = np.random.default_rng(seed)
    frame = frame_of(crs, FRAMES[crs][coarse], upward=upward, turn=turn)
    points = centers(frame, labels)
    pixel = np.abs(points[0, 0] - points[1, 1])
    middles = points.reshape(-1, 2)[generator.integers(0, SIDE * 30, 5)]
    shapes = np.array([star(generator, middle, 8 * size * pixel) for middle in middles], object)
    parts, index = shapely.get_parts(shapes, return_index=True)
    truth = np.zeros((30, SIDE), np.uint8)
    unclear = np.zeros((30, SIDE), bool)
    flat = shapely.points(points)
    for number, part in zip(index, parts, strict=True):
        truth[shapely.contains(part, flat)] = number + 1
        unclear |= shapely.distance(shapely.boundary(part), flat) < NEAR * pixel.max()
    moved, kept = placed(parts, labels, frame, None)
    ids = (index[kept] + 1).astype(np.uint8)
    drawn = burn(moved, ids, (0, 0, 30, SIDE), 0, all_touched=False)
    assert (drawn == truth)[~unclear].all()


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([UTM, WEB, DEGREES]), st.sampled_from([UTM, DEGREES]), st.floats(1, 8))
def test_a_buffer_is_in_meters_on_the_ground(crs, labels, meters):
    frame = frame_of(crs, FRAMES[crs][0])
    [x], [y] = transform(DEGREES, labels, [CENTER[0]], [CENTER[1]])
    moved, _ = placed(np.array([shapely.Point(x, y)], object), labels, frame, meters)
    west, south, east, north = frame.bounds
    xs, ys = transform(crs, UTM, [west, east], [north, south])
    ground = abs((xs[1] - xs[0]) * (ys[1] - ys[0])) / (SIDE * 30)  # square meters a pixel
    area = shapely.area(moved[0]) * ground
    assert area == pytest.approx(np.pi * meters**2, rel=0.02)


def test_far_geometries_are_left_out():
    frame = frame_of(UTM, 0.5)
    far = np.array([shapely.box(-179, -89, -178, -88), shapely.box(-180, -90, 180, 90)], object)
    moved, kept = placed(far, DEGREES, frame, None)
    assert kept.tolist() == [1]
    assert burn(moved, np.ones(1, np.uint8), (0, 0, 30, SIDE), 0, all_touched=False).all()


def test_an_image_without_a_georeference_is_refused():
    shapes = np.array([shapely.box(0, 0, 1, 1)], object)
    with pytest.raises(DataError, match="no coordinate reference system"):
        placed(shapes, UTM, Frame(4, 4), None)
    with pytest.raises(DataError, match="no transform"):
        placed(shapes, UTM, Frame(4, 4, UTM, Affine.identity()), None)
