"""Views that a cache already contains, so that a plan over more scenes draws only the new ones.

CutMix partners depend on the whole set of unlabeled scenes, so a single additional scene would
change most pairs. Known pairs therefore stay together, and only the remaining scenes are paired.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Rows
from rsmtdf_core.scenes.scene import Scene

Table = npt.NDArray[np.void]

_SCENE_BITS, _NUMBER_BITS = 21, 20


class SceneKey(NamedTuple):
    """The identity of a scene across experiments: its name, its bytes and its window.

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
        """Return the key of a scene whose digest is computed."""
        window = None if scene.window is None else astuple(scene.window)
        return cls(scene.id, scene.sha256, scene.width, scene.height, window)

    def to_json(self) -> list[Any]:
        """Return the key as a JSON list."""
        return [*self[:4], None if self.window is None else list(self.window)]


def view_keys(table: Table) -> Rows:
    """Encode the scene, number, role and partner of each view as one integer; -1 for gaps.

    These, the settings and the seed determine all other fields of a view.
    """
    scene, number = table["scene"].astype(np.int64), table["number"].astype(np.int64)
    partner = table["partner_scene"].astype(np.int64) + 1
    assert not len(table) or (
        scene.max() < 1 << _SCENE_BITS and number.max() < 1 << _NUMBER_BITS
    ), "more scenes or views than a key has room for"
    labeled = table["labeled"].astype(np.int64)
    keys = (((scene << _NUMBER_BITS) | number) << 1 | labeled) << _SCENE_BITS | partner
    return np.where(scene < 0, -1, keys)


def find_keys(keys: Rows, wanted: Rows) -> Rows:
    """Return the first index of each wanted key in `keys`, or -1 if absent, int64 [wanted]."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    order = np.argsort(keys, kind="stable")
    ranks = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    indices = order[ranks]
    return np.where(keys[indices] == wanted, indices, -1)


@dataclass(frozen=True, eq=False)
class KnownViews:
    """The views of a cache, in the order in which they were added.

    Attributes:
        scenes: the scenes of the views.
        table: `plan.drawn_dtype` [rows]; rows with scene -1 are gaps.
    """

    scenes: tuple[SceneKey, ...]
    table: Table

    @cached_property
    def scene_indices(self) -> dict[SceneKey, int]:
        """Index of each scene."""
        return {key: index for index, key in enumerate(self.scenes)}

    def of_scenes(self, scenes: Sequence[Scene]) -> Table:
        """Return the views that show only these scenes, in order, with indices into `scenes`."""
        renumbered = np.full(len(self.scenes) + 1, -1, np.int32)  # the last element is for index -1
        for index, scene in enumerate(scenes):
            known_index = self.scene_indices.get(SceneKey.of(scene))
            if known_index is not None:
                renumbered[known_index] = index
        numbers, partners = (renumbered[self.table[name]] for name in ("scene", "partner_scene"))
        kept = (numbers >= 0) & ((partners >= 0) == (self.table["partner_scene"] >= 0))
        table = np.array(self.table[kept])
        table["scene"], table["partner_scene"] = numbers[kept], partners[kept]
        return table


def known_partners(
    table: Table, number: int, scenes: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the partner of each scene among the known unlabeled views of a number, -1 for none.

    If scenes were paired in several ways, the earliest pairs win. So the plan of a set of scenes
    stays fixed, even if the cache later gains views of other sets.

    Args:
        table: known views, with indices into the plan's scenes.
        number: the number of the views.
        scenes: indices of the unlabeled scenes.

    Returns:
        int64 [largest index + 1].
    """
    partners = np.full(int(scenes.max(initial=-1)) + 1, -1, np.int64)
    wanted = np.zeros(len(partners) + 1, np.bool_)
    wanted[scenes] = True
    rows = table[(table["number"] == number) & ~table["labeled"] & (table["partner_scene"] >= 0)]
    last = len(partners)
    left, right = np.minimum(rows["scene"], last), np.minimum(rows["partner_scene"], last)
    chosen = wanted[left] & wanted[right]
    left, right = left[chosen], right[chosen]
    if len(np.unique(left)) == len(left):
        partners[left] = right
        return partners
    for scene, partner in zip(left.tolist(), right.tolist(), strict=True):
        if partners[scene] < 0 and partners[partner] < 0:
            partners[scene], partners[partner] = partner, scene
    return partners
