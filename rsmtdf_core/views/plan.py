"""The view plan: all views of an experiment in a fixed order, known before any pixel is read.

Both stages work from the same plan: extraction renders its rows for the teachers, training replays
the same rows for the student. A view's parameters depend only on the seed, its scene's id and its
number. So existing views stay the same with more views per scene, more scenes, or scenes in another
order. Partners that a cache already contains stay together (`known`).

The settings may leave out the views of labeled or unlabeled scenes, which are then drawn at their use (`fresh`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Rows
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.roles import Role, deciding
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.views.fresh import FreshViews
from rsmtdf_core.views.known import (
    KnownViews,
    SceneKey,
    Table,
    find_keys,
    known_partners,
    view_keys,
)
from rsmtdf_core.views.sampling import ViewSampler
from rsmtdf_core.views.settings import FRESH, ViewSettings
from rsmtdf_core.views.view import (
    VIEW_DTYPE,
    Box,
    Geometry,
    Photometric,
    View,
    from_record,
    to_record,
    view_dtype,
)

__all__ = [
    "VIEW_DTYPE",
    "Box",
    "Geometry",
    "Photometric",
    "View",
    "ViewPlan",
    "drawn_dtype",
    "make_plan",
]

PLAN_FORMAT = 1


@dataclass(frozen=True, eq=False)
class ViewPlan:
    """All views of an experiment; compare plans by `fingerprint`.

    Rows are sorted by view number. Each number has the labeled views in the order of
    `labeled_scenes`, then the unlabeled views with partners next to each other and an unpaired view
    last. Rows of fresh views follow, without end: `len`, iteration and the table leave them out.

    Attributes:
        scenes: every scene once, sorted by id.
        labeled_scenes: indices of the labeled scenes, ascending.
        unlabeled_scenes: indices of the scenes used without a mask, ascending.
        settings: the distributions of the views.
        seed: seed of all draws.
        table: `drawn_dtype` [rows].
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
        if self.is_fresh(row):
            return self._fresh[int(row)]
        if not 0 <= row < len(self.table):
            raise IndexError(f"expected a row from 0 to {len(self.table) - 1}, found {row}")
        return from_record(self.table[row], int(row), int(self._partners[row]))

    def __iter__(self) -> Iterator[View]:
        return (self[row] for row in range(len(self)))

    def is_fresh(self, row: int) -> bool:
        """Return whether a row is that of a fresh view, which no cache contains."""
        return row >= len(self.table) and self._fresh.per_number > 0

    def labeled_rows(self, turn: int) -> Rows:
        """Return the rows of the labeled views of a pass over the scenes, int64 [labeled scenes], by scene.

        Pass `turn`, from 0, shows fresh views of this number, or starts over after the last number of the plan.
        """
        if self.settings.labeled_views == FRESH:
            return self._fresh.labeled_rows(turn)
        number = turn % self.settings.labeled_views
        return np.flatnonzero((self.table["number"] == number) & self.table["labeled"])

    def unlabeled_pairs(self, turn: int) -> Rows:
        """Return the rows of the CutMix pairs of a pass over the scenes, int64 [pairs, 2], as `labeled_rows`."""
        if self.settings.unlabeled_views == FRESH:
            return self._fresh.unlabeled_pairs(turn)
        number = turn % self.settings.unlabeled_views
        paired = (self.table["number"] == number) & (self.table["partner_scene"] >= 0)
        return np.flatnonzero(paired).reshape(-1, 2)

    @cached_property
    def _fresh(self) -> FreshViews:
        return FreshViews(
            ViewSampler(self.scenes, self.settings, self.seed),
            self.labeled_scenes if self.settings.labeled_views == FRESH else (),
            self.unlabeled_scenes if self.settings.unlabeled_views == FRESH else (),
            len(self.table),
        )

    @cached_property
    def _partners(self) -> Rows:
        """Row of each view's partner, -1 for none; partners have adjacent rows."""
        paired = np.flatnonzero(self.table["partner_scene"] >= 0)
        partners = np.full(len(self.table), -1, np.int64)
        partners[paired] = paired.reshape(-1, 2)[:, ::-1].reshape(-1)
        return partners

    def address_fields(self) -> dict[str, Any]:
        """Return the fields that determine every possible view of these scenes, as JSON.

        They include neither the numbers of views nor the roles of the scenes, so that plans of the
        same scenes can share views.
        """
        scenes = [SceneKey.of(scene).to_json() for scene in self.scenes]
        return {**self.drawing, "scenes": scenes}

    @property
    def drawing(self) -> dict[str, Any]:
        """The fields that determine the views of any scene, as JSON."""
        return drawing_fields(self.settings, self.seed)

    @cached_property
    def address(self) -> str:
        """Fingerprint of `address_fields`."""
        return fingerprint(self.address_fields())

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the address, the numbers of views, the table's bytes and the scenes of fresh views."""
        counts = [self.settings.labeled_views, self.settings.unlabeled_views]
        digest = sha256(self.table.tobytes()).hexdigest()
        fresh = [[self.labeled_scenes, self.unlabeled_scenes]] if FRESH in counts else []
        return fingerprint([self.address, *counts, digest, *fresh])


def drawing_fields(settings: ViewSettings, seed: int) -> dict[str, Any]:
    """Return the fields that determine the views of any scene, as JSON."""
    return {"format": PLAN_FORMAT, "seed": seed, "settings": deciding(settings, Role.VIEWS)}


def drawn_dtype(drawing: Mapping[str, Any]) -> np.dtype[np.void]:
    """Return the type of the records of `drawing_fields`: VIEW_DTYPE unless optional settings are on."""
    settings = drawing.get("settings")
    return view_dtype(settings if isinstance(settings, Mapping) else {})


def make_plan(
    labeled: Sequence[Scene],
    unlabeled: Sequence[Scene],
    settings: ViewSettings,
    seed: int,
    known: KnownViews | None = None,
) -> ViewPlan:
    """Draw the view plan of an experiment.

    Args:
        labeled: scenes whose masks are used.
        unlabeled: scenes that are used without a mask; labeled scenes may be included.
        settings: the distributions of the views.
        seed: seed of all draws.
        known: views in a cache with the same settings and seed; the plan keeps them and their pairs.
    """
    by_id = {scene.id: scene for scene in (*unlabeled, *labeled)}
    scenes = tuple(by_id[name] for name in sorted(by_id))
    index = {scene.id: position for position, scene in enumerate(scenes)}
    labeled_scenes = sorted({index[scene.id] for scene in labeled})
    unlabeled_scenes = sorted({index[scene.id] for scene in unlabeled})
    assert len(labeled_scenes) == len(labeled), "labeled scenes share an id"
    assert len(unlabeled_scenes) == len(unlabeled), "unlabeled scenes share an id"

    dtype = drawn_dtype(drawing_fields(settings, seed))
    known_table = np.empty(0, dtype) if known is None else known.of_scenes(scenes)
    sampler = ViewSampler(scenes, settings, seed)
    outline = _Outline(sampler, known_table)
    for number in range(max(settings.planned_labeled, settings.planned_unlabeled)):
        if number < settings.planned_labeled:
            outline.add_labeled(labeled_scenes, number)
        if number < settings.planned_unlabeled:
            outline.add_unlabeled(unlabeled_scenes, number)
    table = _filled(outline.table(), known_table, sampler)
    return ViewPlan(scenes, tuple(labeled_scenes), tuple(unlabeled_scenes), settings, seed, table)


class _Outline:
    """The views of a plan in order, with their partners, before their parameters are drawn."""

    def __init__(self, sampler: ViewSampler, known: Table) -> None:
        self._sampler = sampler
        self._known = known
        self._parts: list[Table] = []

    def add_labeled(self, scenes: Sequence[int], number: int) -> None:
        """Add the labeled views of one number."""
        self._add(np.array(scenes, np.int64), number, None)

    def add_unlabeled(self, scenes: Sequence[int], number: int) -> None:
        """Add the unlabeled views of one number: pairs first, then an unpaired view."""
        order = self._sampler.order(scenes, number)
        partners = known_partners(self._known, number, np.array(scenes, np.int64))
        alone = [scene for scene in order if partners[scene] < 0]
        for left, right in zip(alone[::2], alone[1::2], strict=False):
            partners[left], partners[right] = right, left
        ranks = {scene: rank for rank, scene in enumerate(order)}
        # A pair takes the position of its first member.
        paired = [
            scene
            for first in order
            if partners[first] >= 0 and ranks[first] < ranks[int(partners[first])]
            for scene in (first, int(partners[first]))
        ]
        left_over = [scene for scene in order if partners[scene] < 0]
        ordered = np.array([*paired, *left_over], np.int64)
        self._add(ordered, number, partners[ordered])

    def _add(
        self, scenes: npt.NDArray[np.int64], number: int, partners: npt.NDArray[np.int64] | None
    ) -> None:
        part = np.zeros(len(scenes), self._known.dtype)
        part["scene"], part["number"] = scenes, number
        part["labeled"] = partners is None
        part["partner_scene"] = -1 if partners is None else partners
        self._parts.append(part)

    def table(self) -> Table:
        """Return all views, in the type of the known ones, with only their identifying fields set."""
        return np.concatenate([self._known[:0], *self._parts])


def _filled(outline: Table, known: Table, sampler: ViewSampler) -> Table:
    """Fill in the parameters of the outline's views, from the known views or else by drawing."""
    known_rows = find_keys(view_keys(known), view_keys(outline))
    table = outline
    table[known_rows >= 0] = known[known_rows[known_rows >= 0]]
    for row in np.flatnonzero(known_rows < 0).tolist():
        view = outline[row]
        scene, number, partner = (int(view[name]) for name in ("scene", "number", "partner_scene"))
        drawn = (
            sampler.labeled(scene, number)
            if view["labeled"]
            else sampler.unlabeled(scene, number, paired=partner >= 0)
        )
        geometry, photometric, box = drawn
        table[row] = to_record(scene, number, geometry, photometric, partner, box, table.dtype)
    return table
