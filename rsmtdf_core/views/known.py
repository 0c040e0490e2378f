"""Views that a cache has already, so that a plan over more scenes draws only what is new.

Which scenes are CutMix partners would follow from the whole set of unlabeled scenes, and one scene
more would change most pairs. So pairs that are known stay, and the rest is paired among itself.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Rows
from rsmtdf_core.scenes.find import Scene

Table = npt.NDArray[np.void]

_SCENE_BITS, _NUMBER_BITS = 21, 20


class SceneKey(NamedTuple):
    """What makes a scene the same one in two experiments: its name, its bytes and its window.

    Attributes:
        id: relative to the data root.
        sha256: of the image file.
        width: px.
        height: px.
        window: left, top, width and height in the raster; None for the whole image.
    """

    id: str
    sha256: str
    width: int
    height: int
    window: tuple[int, int, int, int] | None

    @classmethod
    def of(cls, scene: Scene) -> "SceneKey":
        """The key of a scene whose digest is known."""
        window = None if scene.window is None else astuple(scene.window)
        return cls(scene.id, scene.sha256, scene.width, scene.height, window)

    def to_json(self) -> list[Any]:
        """As a list."""
        return [*self[:4], None if self.window is None else list(self.window)]


def view_keys(table: Table) -> Rows:
    """One number for each view, from its scene, number, role and partner; -1 for gaps.

    Everything else about a view follows from these, the settings and the seed.
    """
    scene, number = table["scene"].astype(np.int64), table["number"].astype(np.int64)
    partner = table["partner_scene"].astype(np.int64) + 1
    assert not len(table) or (
        scene.max() < 1 << _SCENE_BITS and number.max() < 1 << _NUMBER_BITS
    ), "more scenes or views than a key has room for"
    labeled = table["labeled"].astype(np.int64)
    keys = (((scene << _NUMBER_BITS) | number) << 1 | labeled) << _SCENE_BITS | partner
    return np.where(scene < 0, -1, keys)


def find_keys(own: Rows, wanted: Rows) -> Rows:
    """Where each wanted key first stands in `own`, -1 for nowhere, int64 [wanted]."""
    if not len(own):
        return np.full(len(wanted), -1, np.int64)
    order = np.argsort(own, kind="stable")
    place = np.minimum(np.searchsorted(own, wanted, sorter=order), len(own) - 1)
    place = order[place]
    return np.where(own[place] == wanted, place, -1)


@dataclass(frozen=True, eq=False)
class KnownViews:
    """The views of a cache in the order in which they came.

    Attributes:
        scenes: the scenes they are of.
        table: VIEW_DTYPE [rows]; rows of scene -1 are gaps.
    """

    scenes: tuple[SceneKey, ...]
    table: Table

    @cached_property
    def places(self) -> dict[SceneKey, int]:
        """Index of each scene."""
        return {key: place for place, key in enumerate(self.scenes)}

    def of_scenes(self, scenes: Sequence[Scene]) -> Table:
        """Those views that show these scenes alone, numbered as `scenes` is, in their order."""
        number = np.full(len(self.scenes) + 1, -1, np.int32)  # the last one serves index -1
        for index, scene in enumerate(scenes):
            place = self.places.get(SceneKey.of(scene))
            if place is not None:
                number[place] = index
        scene, partner = number[self.table["scene"]], number[self.table["partner_scene"]]
        kept = (scene >= 0) & ((partner >= 0) == (self.table["partner_scene"] >= 0))
        table = np.array(self.table[kept])
        table["scene"], table["partner_scene"] = scene[kept], partner[kept]
        return table


def known_partners(
    table: Table, number: int, scenes: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The partner of each scene in the known unlabeled views of one number, -1 for none.

    Where scenes were paired in several ways the pairs that came first stay. So the plan of a set of
    scenes never changes once it is known, whatever other sets bring later.

    Args:
        table: known views, numbered as the plan's scenes are.
        number: of the views.
        scenes: indices of the unlabeled scenes.

    Returns:
        int64 [largest index + 1].
    """
    partners = np.full(int(scenes.max(initial=-1)) + 1, -1, np.int64)
    wanted = np.zeros(len(partners) + 1, np.bool_)
    wanted[scenes] = True
    rows = table[(table["number"] == number) & ~table["labeled"] & (table["partner_scene"] >= 0)]
    last = len(partners)
    own, other = np.minimum(rows["scene"], last), np.minimum(rows["partner_scene"], last)
    chosen = wanted[own] & wanted[other]
    own, other = own[chosen], other[chosen]
    if len(np.unique(own)) == len(own):
        partners[own] = other
        return partners
    for one, its_partner in zip(own.tolist(), other.tolist(), strict=True):
        if partners[one] < 0 and partners[its_partner] < 0:
            partners[one], partners[its_partner] = its_partner, one
    return partners
