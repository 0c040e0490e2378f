"""Check a group's views: render them from the current scenes, and draw them from the seed."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
from pydantic import ValidationError

from pipeline.cache.verify.report import SkippedError
from pipeline.reporter import Reporter
from rsmtdf_core.arrays import Rows
from rsmtdf_core.errors import StoreMismatchError
from rsmtdf_core.scenes.find import Dataset, with_digests
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.store.group import VIEWS, ViewGroup
from rsmtdf_core.store.metadata import EXTRACT
from rsmtdf_core.views.known import SceneKey, find_keys, view_keys
from rsmtdf_core.views.plan import ViewPlan, make_plan
from rsmtdf_core.views.render import ViewRenderer, crop_crc
from rsmtdf_core.views.settings import ViewSettings


def spread(rows: Rows, count: int) -> Rows:
    """Return at most `count` of the rows, evenly spaced from the first to the last."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]


def check_drawing(group: ViewGroup, rows: Rows) -> str:
    """Draw the views at these store rows again and compare them with the recorded parameters.

    Each view is drawn only with its recorded partner, so the order in which pairs were drawn is irrelevant.

    Raises:
        StoreMismatchError: If the parameters differ.
    """
    settings, seed = group_settings(group), int(group.drawing["seed"])
    wrong = [row for row in rows.tolist() if not _drawn_same(group, row, settings, seed)]
    if wrong:
        raise StoreMismatchError(
            f"{len(wrong)} of {len(rows)} views have other parameters when they are drawn again, the "
            f"first at store row {wrong[0]}",
            where=group.path / VIEWS,
            remedy="use the version of rsmtdf that made this cache, or another cache folder",
        )
    return f"{len(rows)} views were drawn again with the recorded parameters"


def group_settings(group: ViewGroup) -> ViewSettings:
    """Return the settings of the group's views; the numbers of views are arbitrary.

    Raises:
        StoreMismatchError: If the settings are not those of this version.
    """
    try:
        return ViewSettings.model_validate(group.drawing["settings"])
    except (KeyError, ValidationError) as wrong:
        raise StoreMismatchError(
            f"the settings of the views are from another version: {wrong}",
            where=group.path,
            remedy="use the version of rsmtdf that made this cache",
        ) from None


def _drawn_same(group: ViewGroup, row: int, settings: ViewSettings, seed: int) -> bool:
    recorded = group.table[row].copy()
    number = int(recorded["number"])
    shown = [_scene(group.scenes[recorded["scene"]])]
    if recorded["partner_scene"] >= 0:
        shown.append(_scene(group.scenes[recorded["partner_scene"]]))
    counts = {"labeled_views": number + 1, "unlabeled_views": number + 1}
    settings = settings.model_copy(update=counts)
    labeled = shown if recorded["labeled"] else []
    plan = make_plan(labeled, [] if labeled else shown, settings, seed)
    scene = [scene.id for scene in plan.scenes].index(shown[0].id)
    chosen = (plan.table["number"] == number) & (plan.table["scene"] == scene)
    [drawn] = plan.table[chosen]
    # A group and a plan number their scenes independently.
    for name in ("scene", "partner_scene"):
        recorded[name] = drawn[name]
    return bool(recorded.tobytes() == drawn.tobytes())


def _scene(key: SceneKey) -> Scene:
    """Return a scene with only the fields that drawing needs."""
    return Scene(key.id, "", None, key.width, key.height, sha256=key.sha256)


class GroupViews:
    """The views of one group whose scenes a dataset contains.

    Args:
        group: the group.
        dataset: the dataset to search for its scenes, in all splits, by id and bytes.

    Attributes:
        plan: the views that can be rendered, in an arbitrary order.
        plan_rows: the plan row of each store row, -1 if it cannot be rendered, int64 [rows].
        renderer: renders the plan.
        changed: the group's scenes whose file has changed, by id.
    """

    def __init__(self, group: ViewGroup, dataset: Dataset) -> None:
        self.group, self.dataset = group, dataset
        ids = {key.id for key in group.scenes}
        by_id = {
            scene.id: scene
            for split in dataset.splits.values()
            for scene in split
            if scene.id in ids
        }
        scenes = with_digests(dataset, [by_id[name] for name in sorted(by_id)])
        indices = group.known.scene_indices
        unchanged = tuple(scene for scene in scenes if SceneKey.of(scene) in indices)
        self.changed = {scene.id: scene for scene in scenes if SceneKey.of(scene) not in indices}
        number = np.full(len(group.scenes) + 1, -1, np.int64)
        for index, scene in enumerate(unchanged):
            number[indices[SceneKey.of(scene)]] = index
        order = _renderable(group, number)
        table = np.array(group.table[order])
        table["scene"] = number[table["scene"]]
        table["partner_scene"] = number[table["partner_scene"]]
        self.plan = ViewPlan(
            scenes=unchanged,
            labeled_scenes=tuple(np.unique(table["scene"][table["labeled"]]).tolist()),
            unlabeled_scenes=tuple(np.unique(table["scene"][~table["labeled"]]).tolist()),
            settings=group_settings(group),
            seed=int(group.drawing["seed"]),
            table=table,
        )
        self.plan_rows = np.full(len(group.table), -1, np.int64)
        self.plan_rows[order] = np.arange(len(order))

    @cached_property
    def renderer(self) -> ViewRenderer:
        """The plan's renderer, which keeps decoded scenes between checks."""
        return ViewRenderer(SceneReader(self.dataset), self.plan)

    def renderable(self, rows: Rows) -> Rows:
        """Return the store rows whose scenes the dataset contains.

        Raises:
            SkippedError: If there are no such rows.
        """
        chosen = rows[self.plan_rows[rows] >= 0]
        if not len(chosen):
            raise SkippedError("the config's data contain none of these scenes unchanged")
        return chosen

    def changed_in(self, rows: Rows) -> list[Scene]:
        """Return the scenes of these views whose file has changed since extraction."""
        shown = np.unique(self.group.table["scene"][rows]).tolist()
        return [
            self.changed[key.id]
            for key in (self.group.scenes[index] for index in shown)
            if key.id in self.changed
        ]

    def check_replay(self, rows: Rows, count: int | None, reporter: Reporter) -> str:
        """Render crops again and compare them with the checksums recorded at extraction.

        Args:
            rows: store rows.
            count: number of rows to render; None for all.
            reporter: shows progress.

        Raises:
            StoreMismatchError: If a crop or an image has changed.
            SkippedError: If the dataset has none of the scenes.
        """
        self.check_scenes(rows)
        chosen = self.renderable(rows)
        sample = chosen if count is None else spread(chosen, count)
        recorded = dict(zip(sample.tolist(), self.group.crops(sample).tolist(), strict=True))

        def same(row: int) -> bool:
            return bool(crop_crc(self.renderer.weak(int(self.plan_rows[row]))) == recorded[row])

        remedy = "restore the files, use the image library of that time, or another cache folder"
        self.require(sample.tolist(), same, "crops", remedy, reporter)
        return (
            f"{len(sample)} of {len(rows)} crops were rendered again with the recorded checksums"
            + (
                f"; {len(rows) - len(chosen)} belong to scenes that the config's data lack"
                if len(chosen) < len(rows)
                else ""
            )
        )

    def check_scenes(self, rows: Rows) -> None:
        """Refuse changed images.

        Raises:
            StoreMismatchError: If an image of these views has changed.
        """
        changed = self.changed_in(rows)
        if changed:
            names = ", ".join(scene.id for scene in changed[:3])
            raise StoreMismatchError(
                f"the images of {len(changed)} scenes have changed since their features were extracted "
                f"({names})",
                where=self.dataset.root / changed[0].image,
                remedy=f"restore the image; or extract its views again: {EXTRACT}",
            )

    def require(
        self,
        rows: Sequence[int],
        same: Callable[[int], bool],
        noun: str,
        remedy: str,
        reporter: Reporter,
    ) -> None:
        """Check many rows in threads.

        Args:
            rows: store rows.
            same: returns whether the rendered row equals the recorded one.
            noun: plural name of the records, for messages.
            remedy: how to fix a difference.
            reporter: shows progress.

        Raises:
            StoreMismatchError: If a row differs.
        """
        wrong = []
        with reporter.bar(f"render {noun}", len(rows)) as bar, ThreadPoolExecutor() as pool:
            for row, right in zip(rows, pool.map(same, rows), strict=True):
                if not right:
                    wrong.append(row)
                bar.advance()
        if wrong:
            scene = self.plan.scenes[self.plan[int(self.plan_rows[wrong[0]])].scene]
            raise StoreMismatchError(
                f"{len(wrong)} of {len(rows)} {noun} are rendered differently now, the first of scene "
                f"{scene.id} at store row {wrong[0]}",
                where=self.dataset.root / scene.image,
                remedy=remedy,
            )


def _renderable(group: ViewGroup, number: Rows) -> Rows:
    """Return the store rows whose scenes have a non-negative number; partners are adjacent."""
    table = group.table
    swapped = np.array(table)
    swapped["scene"], swapped["partner_scene"] = table["partner_scene"], table["scene"]
    keys = view_keys(swapped)
    paired = (table["scene"] >= 0) & (table["partner_scene"] >= 0)
    partner = np.where(paired, find_keys(view_keys(table), np.where(paired, keys, -2)), -1)
    present = (table["scene"] >= 0) & (number[table["scene"]] >= 0)
    alone = np.flatnonzero(present & (table["partner_scene"] < 0))
    # A pair needs both of its scenes, and its first row identifies it.
    rows = np.arange(len(table))
    first = np.flatnonzero(present & present[partner] & (partner > rows))
    return np.concatenate([alone, np.stack([first, partner[first]], axis=1).reshape(-1)])
