"""Views as explicit integers and factors, so that their pixels do not depend on a seed.

Stored as a seed, an augmentation would tie caches to the code that draws it; stored as fractions, it
would be rounded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Box:
    """A CutMix box, px in the final (flipped and rotated) crop."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """A weak view: the scene resized, padded right and bottom to the crop, cropped, flipped, rotated.

    Attributes:
        width: width of the resized scene, px.
        height: height of the resized scene, px.
        left: left edge of the crop in the resized, padded scene, px.
        top: top edge of the crop in the resized, padded scene, px.
        flip: whether the crop is flipped left to right.
        vertical_flip: whether it is then flipped top to bottom.
        quarter_turns: number of 90 degree rotations that follow, counterclockwise, 0 to 3.
    """

    width: int
    height: int
    left: int
    top: int
    flip: bool
    vertical_flip: bool = False
    quarter_turns: int = 0


@dataclass(frozen=True, slots=True)
class Photometric:
    """The change from a weak view to a strong one, with operations of torchvision and Pillow.

    Attributes:
        order: the jitter operations in the order they are applied: 0 brightness, 1 contrast, 2
            saturation, 3 hue; () for no jitter.
        brightness: brightness factor, 1 for no change.
        contrast: contrast factor, 1 for no change.
        saturation: saturation factor, 1 for no change.
        hue: shift in turns of the color circle, -0.5 to 0.5.
        grayscale: whether the view is converted to grayscale, after the jitter.
        blur_sigma: standard deviation of the final Gaussian blur, px; 0 for no blur.
    """

    order: tuple[int, ...]
    brightness: float
    contrast: float
    saturation: float
    hue: float
    grayscale: bool
    blur_sigma: float


@dataclass(frozen=True, slots=True)
class View:
    """One augmented crop of a scene.

    Attributes:
        row: the view's row in its plan.
        scene: index of the scene in the plan.
        number: number of the view among those of its scene, from 0.
        labeled: whether the view is for the supervised loss.
        geometry: resize, crop and flip of the weak view.
        photometric: the change to the strong view; None for labeled views.
        partner: row of the CutMix partner, whose partner is this view; -1 for none.
        box: the part of the partner that the mixed view shows; None for no part.
    """

    row: int
    scene: int
    number: int
    labeled: bool
    geometry: Geometry
    photometric: Photometric | None
    partner: int
    box: Box | None


VIEW_DTYPE = np.dtype(
    [
        ("scene", "<i4"),
        ("number", "<i4"),
        ("labeled", "?"),
        ("width", "<i4"),
        ("height", "<i4"),
        ("left", "<i4"),
        ("top", "<i4"),
        ("flip", "?"),
        ("order", "i1", (4,)),
        ("brightness", "<f8"),
        ("contrast", "<f8"),
        ("saturation", "<f8"),
        ("hue", "<f8"),
        ("grayscale", "?"),
        ("blur_sigma", "<f8"),
        ("partner_scene", "<i4"),
        ("box", "<i4", (4,)),
    ]
)
"""A view as a fixed-size record, stored on disk with its tokens.

The record does not depend on its row: the partner is the unlabeled view of `partner_scene` (-1 for
none) with the same number. `order` is padded with -1. A `box` (left, top, width, height) of width 0
means no box. Labeled views have neutral photometric factors.
"""

_ADDED = {"vertical_flip": "?", "quarter_turns": "i1"}
"""Further fields, in order. A table has the field only if the setting of the same name is on."""


def view_dtype(settings: Mapping[str, object]) -> np.dtype[np.void]:
    """Return the type of a table's records, VIEW_DTYPE with the fields that optional settings add.

    Args:
        settings: the settings of the views as JSON, without settings that are off.
    """
    added = [(name, kind) for name, kind in _ADDED.items() if name in settings]
    return np.dtype([*VIEW_DTYPE.descr, *added])


NO_JITTER = Photometric((), 1.0, 1.0, 1.0, 0.0, False, 0.0)


def to_record(
    scene: int,
    number: int,
    geometry: Geometry,
    photometric: Photometric | None,
    partner_scene: int,
    box: Box | None,
    dtype: np.dtype[np.void] = VIEW_DTYPE,
) -> tuple[object, ...]:
    """Return the fields of a record of type `dtype`; a view without `photometric` is labeled."""
    change = photometric or NO_JITTER
    names = dtype.names or ()
    added = {name: getattr(geometry, name) for name in _ADDED}
    assert not any(added[name] for name in added.keys() - set(names)), geometry
    return (
        scene,
        number,
        photometric is None,
        geometry.width,
        geometry.height,
        geometry.left,
        geometry.top,
        geometry.flip,
        (*change.order, *(-1,) * (4 - len(change.order))),
        change.brightness,
        change.contrast,
        change.saturation,
        change.hue,
        change.grayscale,
        change.blur_sigma,
        partner_scene,
        (box.left, box.top, box.width, box.height) if box else (0, 0, 0, 0),
        *(value for name, value in added.items() if name in names),
    )


def from_record(record: np.void, row: int, partner: int) -> View:
    """Return the view of a record in row `row`, with its partner in row `partner`."""
    values: dict[str, Any] = dict(zip(record.dtype.names or (), record.item(), strict=True))
    geometry = Geometry(
        **{field.name: values[field.name] for field in fields(Geometry) if field.name in values}
    )
    values["order"] = tuple(operation for operation in values["order"].tolist() if operation >= 0)
    change = Photometric(**{field.name: values[field.name] for field in fields(Photometric)})
    box = Box(*values["box"].tolist())
    return View(
        row=row,
        scene=values["scene"],
        number=values["number"],
        labeled=values["labeled"],
        geometry=geometry,
        photometric=None if values["labeled"] else change,
        partner=partner,
        box=box if box.width else None,
    )
