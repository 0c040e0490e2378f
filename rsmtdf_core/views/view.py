"""What a view is: explicit integers and factors, so that its pixels depend on no seed.

A record of an augmentation as a seed would tie caches to the code that draws; as fractions it would
round.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Box:
    """A CutMix box, px in the finished (mirrored) crop."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """A weak view: the scene resized, padded right and bottom to the crop, cropped, mirrored.

    Attributes:
        width: of the resized scene, px.
        height: of the resized scene, px.
        left: of the crop in the resized, padded scene, px.
        top: of the crop in the resized, padded scene, px.
        flip: whether the crop is mirrored left to right, last of all.
    """

    width: int
    height: int
    left: int
    top: int
    flip: bool


@dataclass(frozen=True, slots=True)
class Photometric:
    """What turns a weak view into a strong one; the operations are torchvision's and Pillow's.

    Attributes:
        order: the jitter operations in the order they are applied: 0 brightness, 1 contrast, 2
            saturation, 3 hue; () is no jitter.
        brightness: factor, 1 changes nothing.
        contrast: factor, 1 changes nothing.
        saturation: factor, 1 changes nothing.
        hue: shift in turns of the colour circle, -0.5 to 0.5.
        grayscale: whether the view is made grey, after the jitter.
        blur_sigma: standard deviation of the Gaussian blur, px, last of all; 0 is no blur.
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
        number: which of the scene's views it is, from 0.
        labeled: whether it is a view for the supervised loss.
        geometry: how the weak view is cut.
        photometric: how the strong view differs from it; None for labeled views.
        partner: row of the CutMix partner, whose partner this view is; -1 for none.
        box: what the mixed view shows of the partner; None for nothing.
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
"""One view as a fixed-size record, kept on disk beside its tokens.

Nothing in it depends on the row it stands in: the partner is the unlabeled view of `partner_scene`
(-1 for none) with the same number. `order` is filled up with -1; a `box` (left, top, width, height)
of width 0 is none. Labeled views have the photometric factors that change nothing.
"""

NO_JITTER = Photometric((), 1.0, 1.0, 1.0, 0.0, False, 0.0)


def to_record(
    scene: int,
    number: int,
    geometry: Geometry,
    photometric: Photometric | None,
    partner_scene: int,
    box: Box | None,
) -> tuple[object, ...]:
    """The fields of one VIEW_DTYPE record; a view without photometrics is a labeled one."""
    change = photometric or NO_JITTER
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
    )


def from_record(record: np.void, row: int, partner: int) -> View:
    """The view of the VIEW_DTYPE record that stands in `row`, its partner in row `partner`."""
    values: dict[str, Any] = dict(zip(VIEW_DTYPE.names or (), record.item(), strict=True))
    geometry = Geometry(**{field.name: values[field.name] for field in fields(Geometry)})
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
