"""The view plan: all views of an experiment in a fixed order, known before any pixel is read.

Both stages work from the same plan: extraction renders its rows for the teachers, training replays
the same rows for the student. A view's parameters depend on the seed, its scene's id and its number
alone, so more views per scene, or scenes in another order, change no view that was there. (Partners
do depend on which scenes are unlabeled; the plan's address holds them.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.manifests.scenes import Scene
from rsmtdf_core.views.draws import KeyedDraws, key_digest
from rsmtdf_core.views.geometric import draw_box, draw_geometry
from rsmtdf_core.views.photometric import draw_photometric
from rsmtdf_core.views.settings import ViewSettings
from rsmtdf_core.views.view import (
    VIEW_DTYPE,
    Box,
    Geometry,
    Photometric,
    View,
    from_record,
    to_record,
)

__all__ = ["VIEW_DTYPE", "Box", "Geometry", "Photometric", "View", "ViewPlan", "make_plan"]

PLAN_FORMAT = 1

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ViewPlan:
    """All views of an experiment; compare plans by `fingerprint`.

    Rows are ordered by view number; within a number come the labeled views in the order of
    `labeled_scenes`, then the unlabeled ones with partners side by side, a scene left over last.

    Attributes:
        scenes: every scene once, by id.
        labeled_scenes: indices of the labeled scenes, ascending.
        unlabeled_scenes: indices of the scenes that serve without their mask, ascending.
        settings: how views are drawn.
        seed: of all draws.
        table: VIEW_DTYPE [rows].
    """

    scenes: tuple[Scene, ...]
    labeled_scenes: tuple[int, ...]
    unlabeled_scenes: tuple[int, ...]
    settings: ViewSettings
    seed: int
    table: np.ndarray

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> View:
        if not 0 <= row < len(self.table):
            raise IndexError(f"expected a row from 0 to {len(self.table) - 1}, found {row}")
        return from_record(self.table[row], int(row), int(self._partners[row]))

    def __iter__(self) -> Iterator[View]:
        return (self[row] for row in range(len(self)))

    def labeled_rows(self, number: int) -> Rows:
        """Rows of the labeled views of that number, int64 [labeled scenes], by scene."""
        assert 0 <= number < self.settings.labeled_views, number
        return np.flatnonzero((self.table["number"] == number) & self.table["labeled"])

    def unlabeled_pairs(self, number: int) -> Rows:
        """Rows of the CutMix partners of that number, int64 [pairs, 2], without an odd one."""
        assert 0 <= number < self.settings.unlabeled_views, number
        paired = (self.table["number"] == number) & (self.table["partner_scene"] >= 0)
        return np.flatnonzero(paired).reshape(-1, 2)

    @cached_property
    def _partners(self) -> Rows:
        """Row of each view's partner, -1 for none; partners stand side by side."""
        paired = np.flatnonzero(self.table["partner_scene"] >= 0)
        partners = np.full(len(self.table), -1, np.int64)
        partners[paired] = paired.reshape(-1, 2)[:, ::-1].reshape(-1)
        return partners

    def address_fields(self) -> dict[str, Any]:
        """What determines every view this plan has or could grow, as JSON.

        The numbers of views are not in it, so that a plan grows within its address.
        """
        return {
            "format": PLAN_FORMAT,
            "seed": self.seed,
            "settings": self.settings.model_dump(
                mode="json", exclude={"labeled_views", "unlabeled_views"}
            ),
            "scenes": [self._scene_fields(index) for index in range(len(self.scenes))],
        }

    def _scene_fields(self, index: int) -> list[Any]:
        scene = self.scenes[index]
        window = None if scene.window is None else list(astuple(scene.window))
        return [scene.id, scene.sha256, scene.width, scene.height, window, self._roles[index]]

    @cached_property
    def _roles(self) -> list[str]:
        labeled, unlabeled = set(self.labeled_scenes), set(self.unlabeled_scenes)
        roles = {(True, False): "labeled", (False, True): "unlabeled", (True, True): "both"}
        return [roles[index in labeled, index in unlabeled] for index in range(len(self.scenes))]

    @cached_property
    def address(self) -> str:
        """Fingerprint of `address_fields`."""
        return fingerprint(self.address_fields())

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the address, the numbers of views and the table's bytes."""
        counts = [self.settings.labeled_views, self.settings.unlabeled_views]
        return fingerprint([self.address, *counts, sha256(self.table.tobytes()).hexdigest()])


def make_plan(
    labeled: Sequence[Scene], unlabeled: Sequence[Scene], settings: ViewSettings, seed: int
) -> ViewPlan:
    """Draw the view plan of an experiment.

    Args:
        labeled: scenes whose masks are used.
        unlabeled: scenes that are used without a mask; a labeled scene may be among them.
        settings: how views are drawn.
        seed: of all draws.
    """
    by_id = {scene.id: scene for scene in (*unlabeled, *labeled)}
    scenes = tuple(by_id[name] for name in sorted(by_id))
    index = {scene.id: place for place, scene in enumerate(scenes)}
    labeled_scenes = sorted({index[scene.id] for scene in labeled})
    unlabeled_scenes = sorted({index[scene.id] for scene in unlabeled})
    assert len(labeled_scenes) == len(labeled), "labeled scenes share an id"
    assert len(unlabeled_scenes) == len(unlabeled), "unlabeled scenes share an id"

    draws = _ViewDraws(scenes, settings, seed)
    records: list[tuple[object, ...]] = []
    for number in range(max(settings.labeled_views, settings.unlabeled_views)):
        if number < settings.labeled_views:
            records += (draws.labeled(scene, number) for scene in labeled_scenes)
        if number < settings.unlabeled_views:
            records += draws.unlabeled(unlabeled_scenes, number)
    return ViewPlan(
        scenes,
        tuple(labeled_scenes),
        tuple(unlabeled_scenes),
        settings,
        seed,
        np.array(records, VIEW_DTYPE),
    )


@dataclass(frozen=True)
class _ViewDraws:
    """Draws the records of single views, each from generators of its own."""

    scenes: tuple[Scene, ...]
    settings: ViewSettings
    seed: int

    def labeled(self, scene: int, number: int) -> tuple[object, ...]:
        geometry = self._geometry(scene, number, "labeled geometry")
        return to_record(scene, number, geometry, None, -1, None)

    def unlabeled(self, scenes: Sequence[int], number: int) -> Iterator[tuple[object, ...]]:
        """Records of all unlabeled scenes, partners side by side."""
        order = sorted(
            scenes, key=lambda scene: key_digest(self.seed, number, self.scenes[scene].id)
        )
        paired = len(order) // 2 * 2
        for place, scene in enumerate(order):
            geometry = self._geometry(scene, number, "unlabeled geometry")
            change = draw_photometric(self.settings, self._draws(scene, number, "photometric"))
            if place < paired:
                yield to_record(
                    scene, number, geometry, change, order[place ^ 1], self._box(scene, number)
                )
            else:
                yield to_record(scene, number, geometry, change, -1, None)

    def _box(self, scene: int, number: int) -> Box | None:
        draws = self._draws(scene, number, "cutmix")
        return draw_box(self.settings.cutmix, self.settings.crop, draws)

    def _geometry(self, scene: int, number: int, purpose: str) -> Geometry:
        size = self.scenes[scene].width, self.scenes[scene].height
        return draw_geometry(self.settings, *size, self._draws(scene, number, purpose))

    def _draws(self, scene: int, number: int, purpose: str) -> KeyedDraws:
        return KeyedDraws(self.seed, self.scenes[scene].id, number, purpose)
