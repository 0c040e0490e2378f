"""Find, require or grow the group of views that a plan uses."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rsmtdf_core.cache_names import GROUP_NAME
from rsmtdf_core.errors import StoreNotFoundError
from rsmtdf_core.fingerprints import differences
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.store.copies import is_there
from rsmtdf_core.store.group import ViewGroup, holds_stores, read_drawing
from rsmtdf_core.store.locks import locked
from rsmtdf_core.store.metadata import EXTRACT, ZARR
from rsmtdf_core.views.known import SceneKey
from rsmtdf_core.views.plan import ViewPlan


def find_group(
    cache: Path, drawing: Mapping[str, Any], scenes: Sequence[Scene]
) -> ViewGroup | None:
    """Return the group of this drawing that shares the most scenes, or None if no group shares any.

    Raises:
        StoreDamagedError: If a file of a group of this drawing is damaged.
    """
    wanted = {SceneKey.of(scene) for scene in scenes}
    best: ViewGroup | None = None
    most_shared = 0
    for path, group_drawing in _groups(cache):
        if group_drawing != drawing:
            continue
        group = ViewGroup.at(path)
        shared = len(wanted.intersection(group.known.scene_indices))
        if shared > most_shared:
            best, most_shared = group, shared
    return best


def require_group(cache: Path, plan: ViewPlan) -> ViewGroup:
    """Return the plan's group.

    Raises:
        StoreNotFoundError: If the cache has no group for the plan; the message lists how the nearest
            group differs.
        StoreDamagedError: If a file of the group is damaged.
    """
    group = find_group(cache, plan.drawing, plan.scenes)
    if group is None:
        raise StoreNotFoundError(
            f"no features of these views: {_nearest(cache, plan)}",
            where=cache,
            remedy=f"extract them: {EXTRACT}; or undo the difference",
        )
    return group


def grow_group(cache: Path, plan: ViewPlan) -> ViewGroup:
    """Return the plan's group with a row for each view of the plan; create or grow it if needed.

    Raises:
        StoreMismatchError: If the group holds a view with other parameters.
        StoreDamagedError: If a file of the group is damaged.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache):
        group = find_group(cache, plan.drawing, plan.scenes)
        if group is None:
            group = ViewGroup.begin(cache / f"views-{plan.address[:16]}", plan.drawing)
        return group.grown_by(plan)


def _groups(cache: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each group's folder and drawing; skip a folder that a killed process has only begun.

    Raises:
        StoreDamagedError: If a group's `zarr.json` is damaged, or is missing although the group has stores.
    """
    for path in sorted(cache.glob("views-*")):
        if GROUP_NAME.fullmatch(path.name) and (is_there(path / ZARR) or holds_stores(path)):
            yield path, read_drawing(path / ZARR)


def _nearest(cache: Path, plan: ViewPlan) -> str:
    """Describe how the group that differs in the fewest fields differs."""
    groups = [
        (list(differences(plan.drawing, drawing)), path.name) for path, drawing in _groups(cache)
    ]
    if not groups:
        return "the cache is empty"
    lines, name = min(groups, key=lambda group: len(group[0]))
    if not lines:
        return f"{name} was drawn the same way, but of other scenes"
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return f"the nearest, {name}, differs in {'; '.join(lines[:3])}{more}"
