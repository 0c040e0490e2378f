"""Render the pixels of a view from its parameters, for both stages.

Teachers see a view once, students every epoch, and cached tokens are only valid if both see the same
pixels. So this is the only module that crops, flips or recolors a scene. The pixels match the
reference method: Pillow's bilinear and nearest resizing, and torchvision's operations on Pillow
images.
"""

import math
import zlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from rsmtdf_core.arrays import Mask, Pixels
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.views.plan import ViewPlan
from rsmtdf_core.views.view import Box, Geometry, Photometric

ImageChange = Callable[[Image.Image], Image.Image]
T = TypeVar("T", bound=np.generic)

KEPT_WEAK = 32
"""Weak views a renderer keeps: a batch of them may be rendered before their strong views."""

KEPT_STRONG = 4
"""Strong views a renderer keeps: those of a pair and of the previous pair."""


def render_image(image: Pixels, geometry: Geometry, crop: int) -> Pixels:
    """Crop a weak view from a scene.

    Only the visible part of the scene is resized, first horizontally, then vertically. By default
    Pillow chooses the order by the sizes, and the order affects rounding. Compared with resizing the
    whole scene and cropping, each of the two passes may be off by one level, because Pillow rounds
    the edges of the part to 32-bit floats. This affects about 1 pixel in 400.

    Args:
        image: the scene, uint8 [H, W, C].
        geometry: the resize, crop, flips and rotation.
        crop: side of the view, px.

    Returns:
        The view, uint8 [crop, crop, C], 0 where padded.
    """
    width, height = _shown(geometry, crop)
    columns, left, right = _part(geometry.left, width, image.shape[1], geometry.width)
    rows, top, bottom = _part(geometry.top, height, image.shape[0], geometry.height)
    bilinear = Image.Resampling.BILINEAR

    def resized(part: Image.Image) -> Image.Image:
        across = part.resize((width, part.height), bilinear, (left, 0, right, part.height))
        return across.resize((width, height), bilinear, (0, top, width, bottom))

    return _placed(_by_pictures(image[rows, columns], resized), geometry, crop, 0)


def render_mask(mask: Pixels, geometry: Geometry, crop: int, ignore_id: int) -> Pixels:
    """Crop the mask of a weak view from the mask of a scene.

    Args:
        mask: class ids, uint8 [H, W].
        geometry: the resize, crop, flips and rotation.
        crop: side of the view, px.
        ignore_id: class id of padding.

    Returns:
        Class ids of the nearest pixels, uint8 [crop, crop].
    """
    width, height = _shown(geometry, crop)
    rows = _nearest(mask.shape[0], geometry.height)[geometry.top : geometry.top + height]
    columns = _nearest(mask.shape[1], geometry.width)[geometry.left : geometry.left + width]
    return _placed(mask[rows[:, None], columns], geometry, crop, ignore_id)


def valid_pixels(geometry: Geometry, crop: int) -> Mask:
    """Return the pixels of a view that show its scene, bool [crop, crop]; False for padding."""
    width, height = _shown(geometry, crop)
    return _placed(np.ones((height, width), np.bool_), geometry, crop, False)


def _shown(geometry: Geometry, crop: int) -> tuple[int, int]:
    """Columns and rows of an unflipped crop that show the scene; the rest, right and bottom, is padding."""
    return min(crop, geometry.width - geometry.left), min(crop, geometry.height - geometry.top)


def _part(start: int, length: int, size: int, resized: int) -> tuple[slice, float, float]:
    """The source pixels that determine `length` resized ones, and the edges within that part."""
    first, last = start * size / resized, (start + length) * size / resized
    margin = max(1.0, size / resized) + 1  # the filter reaches max(1, scale) source pixels
    part = slice(max(0, math.floor(first - margin)), min(size, math.ceil(last + margin)))
    return part, first - part.start, last - part.start


def _nearest(size: int, resized: int) -> npt.NDArray[np.int64]:
    """Source pixel of each resized pixel, int64 [resized].

    Accumulates the steps as Pillow's ImagingScaleAffine does, because the rounding of the sum
    decides ties.
    """
    steps = np.full(resized, size / resized)
    steps[0] /= 2
    return np.add.accumulate(steps).astype(np.int64)


def _placed(shown: npt.NDArray[T], geometry: Geometry, crop: int, padding: int) -> npt.NDArray[T]:
    canvas = np.full((crop, crop, *shown.shape[2:]), padding, shown.dtype)
    canvas[: shown.shape[0], : shown.shape[1]] = shown
    if geometry.flip:
        canvas = canvas[:, ::-1]
    if geometry.vertical_flip:
        canvas = canvas[::-1]
    return np.ascontiguousarray(np.rot90(canvas, geometry.quarter_turns))


def render_photometric(image: Pixels, photometric: Photometric) -> Pixels:
    """Change a view's colors and sharpness: jitter in the drawn order, then grayscale, then blur.

    Brightness, contrast and blur also apply to bands beyond the third; the color operations do not.

    Args:
        image: a weak view, uint8 [H, W, C].
        photometric: the change.

    Returns:
        The strong view, uint8 [H, W, C].
    """
    from torchvision.transforms import functional as ops

    jitter: tuple[tuple[Callable[[Image.Image, float], Image.Image], float], ...] = (
        (ops.adjust_brightness, photometric.brightness),
        (ops.adjust_contrast, photometric.contrast),
        (ops.adjust_saturation, photometric.saturation),
        (ops.adjust_hue, photometric.hue),
    )

    def changed(picture: Image.Image) -> Image.Image:
        for operation in photometric.order:
            change, amount = jitter[operation]
            picture = change(picture, amount)
        if photometric.grayscale and picture.mode == "RGB":
            picture = ops.to_grayscale(picture, num_output_channels=3)
        if photometric.blur_sigma:
            picture = picture.filter(ImageFilter.GaussianBlur(radius=photometric.blur_sigma))
        return picture

    return _by_pictures(image, changed)


def _by_pictures(pixels: Pixels, change: ImageChange) -> Pixels:
    """Apply `change` to the first three bands of [H, W, C] as an RGB image, and to each other as gray; a copy."""
    first, *others = np.split(pixels, range(SHOWN, pixels.shape[2]), axis=2)
    pictures = [first, *(band[..., 0] for band in others)]
    changed = [
        np.array(change(Image.fromarray(np.ascontiguousarray(picture)))) for picture in pictures
    ]
    return np.dstack(changed) if others else changed[0]


def paste(image: npt.NDArray[T], other: npt.NDArray[T], box: Box | None) -> npt.NDArray[T]:
    """Return a copy of `image` with `other` inside the box; arrays [H, W] or [H, W, channels]."""
    mixed = image.copy()
    if box is not None:
        window = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
        mixed[window] = other[window]
    return mixed


def crop_crc(image: Pixels) -> int:
    """Return the crc32 of a weak view, to verify that training replays the pixels the teachers saw."""
    return zlib.crc32(np.ascontiguousarray(image).data)


class ViewRenderer:
    """Render the views of a plan by row.

    A renderer may be used from several threads. Sent to another process, it starts with empty
    caches. Weak and strong views are shared with the caches and therefore read-only.

    Args:
        reader: reads the scenes' pixels.
        plan: the plan to render.
    """

    def __init__(self, reader: SceneReader, plan: ViewPlan) -> None:
        self.reader = reader
        self.plan = plan
        self._weak = _Recent(KEPT_WEAK)
        self._strong = _Recent(KEPT_STRONG)

    def __reduce__(self) -> tuple[type["ViewRenderer"], tuple[SceneReader, ViewPlan]]:
        return ViewRenderer, (self.reader, self.plan)

    def weak(self, row: int) -> Pixels:
        """Return the view with its geometry only, uint8 [crop, crop, C]."""

        def render() -> Pixels:
            view = self.plan[row]
            image = self.reader.image(self.plan.scenes[view.scene])
            return render_image(image, view.geometry, self.plan.settings.crop)

        return self._weak.get(row, render)

    def strong(self, row: int, photometric: Photometric | None = None) -> Pixels:
        """Return the weak view changed by `photometric`, or else by the plan; uint8 [crop, crop, C]."""
        if photometric is not None:
            return render_photometric(self.weak(row), photometric)

        def render() -> Pixels:
            planned = self.plan[row].photometric
            assert planned is not None, f"row {row} is a labeled view, which has no strong view"
            return render_photometric(self.weak(row), planned)

        return self._strong.get(row, render)

    def mixed(self, row: int) -> Pixels:
        """Return the strong view with the box of its partner's strong view, uint8 [crop, crop, C]."""
        view = self.plan[row]
        strong = self.strong(row)
        return strong if view.box is None else paste(strong, self.strong(view.partner), view.box)

    def mask(self, row: int) -> Pixels:
        """Return the class ids of a labeled view, uint8 [crop, crop]; `ignore_id` for padding."""
        view = self.plan[row]
        mask = self.reader.mask(self.plan.scenes[view.scene])
        ignore_id = self.reader.dataset.manifest.ignore_id
        return render_mask(mask, view.geometry, self.plan.settings.crop, ignore_id)

    def valid(self, row: int) -> Mask:
        """Return the pixels of the weak view that show its scene, bool [crop, crop]."""
        return valid_pixels(self.plan[row].geometry, self.plan.settings.crop)

    def taught_view(self, row: int) -> Pixels:
        """Return the view that the teachers see, with all bands, uint8 [crop, crop, C]; the weak view if labeled."""
        if self.plan[row].labeled:
            return self.weak(row)
        show = {"mixed": self.mixed, "strong": self.strong, "weak": self.weak}
        return show[self.plan.settings.teacher_sees](row)


class _Recent:
    """A cache of the most recent views, so that partners are rendered once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._views: OrderedDict[int, Pixels] = OrderedDict()
        self._lock = Lock()

    def get(self, row: int, render: Callable[[], Pixels]) -> Pixels:
        with self._lock:
            if row in self._views:
                self._views.move_to_end(row)
                return self._views[row]
        view = render()
        view.setflags(write=False)
        with self._lock:
            self._views[row] = view
            if len(self._views) > self._size:
                self._views.popitem(last=False)
        return view
