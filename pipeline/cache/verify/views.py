"""A group's views once more: rendered from the scenes that are here, and drawn from the seed."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
from pydantic import ValidationError

from pipeline.cache.verify.report import SkippedError
from pipeline.reporter import Reporter
from rsmtdf_core.arrays import Rows
from rsmtdf_core.errors import StoreMismatchError
from rsmtdf_core.scenes.find import Dataset, Scene, with_digests
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.store.group import VIEWS, ViewGroup
from rsmtdf_core.store.metadata import EXTRACT
from rsmtdf_core.views.known import SceneKey, find_keys, view_keys
from rsmtdf_core.views.plan import ViewPlan, make_plan
from rsmtdf_core.views.render import ViewRenderer, crop_crc
from rsmtdf_core.views.settings import ViewSettings


def spread(rows: Rows, count: int) -> Rows:
    """At most `count` of the rows, from the first to the last of them."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]


def check_drawing(group: ViewGroup, rows: Rows) -> str:
    """The views at these store rows, drawn anew, have the parameters that are recorded.

    Each is drawn with its own partner alone, so it does not matter how the pairs came about.

    Raises:
        StoreMismatchError: where they differ.
    """
    settings, seed = group_settings(group), int(group.drawing["seed"])
    wrong = [row for row in rows.tolist() if not _drawn_same(group, row, settings, seed)]
    if wrong:
        raise StoreMismatchError(
            f"{len(wrong)} of {len(rows)} views have other parameters when they are drawn anew, the "
            f"first at store row {wrong[0]}",
            where=group.path / VIEWS,
            remedy="use the version of rsmtdf that made this cache, or another cache folder",
        )
    return f"{len(rows)} views drawn anew have the recorded parameters"


def group_settings(group: ViewGroup) -> ViewSettings:
    """How the group's views are drawn, with some numbers of views.

    Raises:
        StoreMismatchError: where this version knows other settings.
    """
    try:
        return ViewSettings.model_validate(group.drawing["settings"])
    except (KeyError, ValidationError) as wrong:
        raise StoreMismatchError(
            f"the settings of the views are another version's: {wrong}",
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
    place = [scene.id for scene in plan.scenes].index(shown[0].id)
    chosen = (plan.table["number"] == number) & (plan.table["scene"] == place)
    [drawn] = plan.table[chosen]
    # Numbers that a group and a plan give as they like.
    for name in ("scene", "partner_scene"):
        recorded[name] = drawn[name]
    return bool(recorded.tobytes() == drawn.tobytes())


def _scene(key: SceneKey) -> Scene:
    """What drawing needs to know of a scene."""
    return Scene(key.id, "", None, key.width, key.height, sha256=key.sha256)


class GroupViews:
    """The views of one group as far as the scenes of a dataset show them.

    Args:
        group: whose views.
        dataset: where its scenes are looked for, in all splits, by id and bytes.

    Attributes:
        plan: the views that can be rendered, in an order of its own.
        place: the plan row of each store row, -1 where it cannot be rendered, int64 [rows].
        renderer: renders the plan.
        changed: the group's scenes whose file has other bytes now, by the id.
    """

    def __init__(self, group: ViewGroup, dataset: Dataset) -> None:
        self.group, self.dataset = group, dataset
        ids = {key.id for key in group.scenes}
        found = {
            scene.id: scene
            for split in dataset.splits.values()
            for scene in split
            if scene.id in ids
        }
        scenes = with_digests(dataset, [found[name] for name in sorted(found)])
        places = group.known.scene_indices
        here = tuple(scene for scene in scenes if SceneKey.of(scene) in places)
        self.changed = {one.id: one for one in scenes if SceneKey.of(one) not in places}
        number = np.full(len(group.scenes) + 1, -1, np.int64)
        for index, scene in enumerate(here):
            number[places[SceneKey.of(scene)]] = index
        order = _renderable(group, number)
        table = np.array(group.table[order])
        table["scene"] = number[table["scene"]]
        table["partner_scene"] = number[table["partner_scene"]]
        self.plan = ViewPlan(
            scenes=here,
            labeled_scenes=tuple(np.unique(table["scene"][table["labeled"]]).tolist()),
            unlabeled_scenes=tuple(np.unique(table["scene"][~table["labeled"]]).tolist()),
            settings=group_settings(group),
            seed=int(group.drawing["seed"]),
            table=table,
        )
        self.place = np.full(len(group.table), -1, np.int64)
        self.place[order] = np.arange(len(order))

    @cached_property
    def renderer(self) -> ViewRenderer:
        """Keeps decoded scenes from check to check."""
        return ViewRenderer(SceneReader(self.dataset), self.plan)

    def renderable(self, rows: Rows) -> Rows:
        """Those of the store rows whose scenes are here.

        Raises:
            SkippedError: where there are none.
        """
        chosen = rows[self.place[rows] >= 0]
        if not len(chosen):
            raise SkippedError("the config's data have none of these scenes as they were")
        return chosen

    def changed_in(self, rows: Rows) -> list[Scene]:
        """Scenes that these views show and whose file has other bytes than when they were made."""
        shown = np.unique(self.group.table["scene"][rows]).tolist()
        return [
            self.changed[key.id]
            for key in (self.group.scenes[index] for index in shown)
            if key.id in self.changed
        ]

    def check_replay(self, rows: Rows, count: int | None, reporter: Reporter) -> str:
        """Crops rendered again have the checksums that were recorded when the teachers saw them.

        Args:
            rows: store rows.
            count: how many of them to render; None for all.
            reporter: shows progress.

        Raises:
            StoreMismatchError: where a crop or an image is another one.
            SkippedError: where no scene is here.
        """
        self.check_scenes(rows)
        chosen = self.renderable(rows)
        sample = chosen if count is None else spread(chosen, count)
        recorded = dict(zip(sample.tolist(), self.group.crops(sample).tolist(), strict=True))

        def same(row: int) -> bool:
            return bool(crop_crc(self.renderer.weak(int(self.place[row]))) == recorded[row])

        remedy = "restore the files, use the image library of that time, or another cache folder"
        self.require(sample.tolist(), same, "crops", remedy, reporter)
        return f"{len(sample)} of {len(rows)} crops rendered again are the recorded ones" + (
            f"; {len(rows) - len(chosen)} are of scenes that the config's data do not have"
            if len(chosen) < len(rows)
            else ""
        )

    def check_scenes(self, rows: Rows) -> None:
        """Refuse changed images.

        Raises:
            StoreMismatchError: where an image that these views show has other bytes now.
        """
        changed = self.changed_in(rows)
        if changed:
            names = ", ".join(scene.id for scene in changed[:3])
            raise StoreMismatchError(
                f"the images of {len(changed)} scenes are not those of which features were made "
                f"({names})",
                where=self.dataset.root / changed[0].image,
                remedy=f"restore the image; or make its views again: {EXTRACT}",
            )

    def require(
        self,
        rows: Sequence[int],
        same: Callable[[int], bool],
        what: str,
        remedy: str,
        reporter: Reporter,
    ) -> None:
        """Compare many rows in threads.

        Raises:
            StoreMismatchError: where one is not the same.
        """
        wrong = []
        with reporter.bar(f"render {what}", len(rows)) as bar, ThreadPoolExecutor() as pool:
            for row, right in zip(rows, pool.map(same, rows), strict=True):
                if not right:
                    wrong.append(row)
                bar.advance()
        if wrong:
            scene = self.plan.scenes[self.plan[int(self.place[wrong[0]])].scene]
            raise StoreMismatchError(
                f"{len(wrong)} of {len(rows)} {what} are not rendered as they were, the first of scene "
                f"{scene.id} at store row {wrong[0]}",
                where=self.dataset.root / scene.image,
                remedy=remedy,
            )


def _renderable(group: ViewGroup, number: Rows) -> Rows:
    """The store rows whose scenes have a number that is not negative, partners side by side."""
    table = group.table
    swapped = np.array(table)
    swapped["scene"], swapped["partner_scene"] = table["partner_scene"], table["scene"]
    keys = view_keys(swapped)
    paired = (table["scene"] >= 0) & (table["partner_scene"] >= 0)
    partner = np.where(paired, find_keys(view_keys(table), np.where(paired, keys, -2)), -1)
    here = (table["scene"] >= 0) & (number[table["scene"]] >= 0)
    alone = np.flatnonzero(here & (table["partner_scene"] < 0))
    # A pair is as good as the less of its scenes, and named by its first row.
    rows = np.arange(len(table))
    first = np.flatnonzero(here & here[partner] & (partner > rows))
    return np.concatenate([alone, np.stack([first, partner[first]], axis=1).reshape(-1)])
