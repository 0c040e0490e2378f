"""Choose the labeled scenes among those of the training split (tests: test_find.py)."""

from collections.abc import Collection, Sequence

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.members import rank
from rsmtdf_core.scenes.scene import Scene


def draw_labeled(
    scenes: Sequence[Scene], share: float, seed: int
) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """Draw the scenes whose masks may be used.

    Scenes are ordered by the sha256 of (seed, id), and the first scenes with a mask are labeled, so that a larger share
    contains a smaller one. The count is rounded down, as in the published lists, but is at least 1.

    Args:
        scenes: the scenes of the training split.
        share: share of the scenes with a mask, in (0, 1].
        seed: seed of the order.

    Returns:
        Labeled and unlabeled scenes, both in the drawn order; scenes without a mask are unlabeled.

    Raises:
        DataError: If no scene has a mask.
    """
    assert 0 < share <= 1
    drawn = _drawn(scenes, seed)
    masked = [scene for scene in drawn if scene.mask is not None]
    if not masked:
        raise DataError(
            f"none of {len(scenes)} training scenes has a mask",
            remedy="check the masks pattern with `rsmtdf data check MANIFEST --root ROOT`",
        )
    # The small addend corrects binary rounding: 0.29 * 100 is 28.999...
    labeled = masked[: max(1, int(share * len(masked) + 1e-9))]
    chosen = {scene.id for scene in labeled}
    return tuple(labeled), tuple(scene for scene in drawn if scene.id not in chosen)


def listed_labeled(
    scenes: Sequence[Scene], listed: Collection[str], seed: int
) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """Return the scenes listed as labeled, and the others, as `draw_labeled` does.

    Raises:
        DataError: If a listed scene has no mask.
    """
    drawn = _drawn(scenes, seed)
    labeled = tuple(scene for scene in drawn if scene.id in listed)
    for scene in labeled:
        if scene.mask is None:
            raise DataError(
                "the manifest lists this scene as labeled, but it has no mask", where=scene.image
            )
    return labeled, tuple(scene for scene in drawn if scene.id not in listed)


def _drawn(scenes: Sequence[Scene], seed: int) -> list[Scene]:
    return sorted(scenes, key=lambda scene: rank(seed, scene.id))
