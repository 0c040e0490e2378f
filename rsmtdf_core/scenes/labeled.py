"""Choose the labeled scenes among those of the training split (tests: test_find.py)."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Discriminator, Field, Tag, model_validator

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.draws import rank
from rsmtdf_core.scenes.members import require_values
from rsmtdf_core.scenes.scene import Scene, image_id
from rsmtdf_core.scenes.split_settings import SplitName
from rsmtdf_core.settings import Settings, Share
from rsmtdf_core.validation import suggestion
from rsmtdf_core.words import counted

if TYPE_CHECKING:
    from rsmtdf_core.scenes.find import Dataset

_KEY = "data.labeled"
_MOST = 3  # images named in a sentence


class LabeledImages(Settings):
    """The images whose training scenes are labeled, by name or by a condition.

    Attributes:
        images: ids of images (the path fields joined by "/"), or their paths below the data root.
        where: allowed values of fields of the images pattern; every field must match.
        share: share of these images' scenes with a mask, in the order of `data.labeled_seed`.
    """

    images: tuple[str, ...] = ()
    where: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    share: Share = 1.0

    @model_validator(mode="after")
    def _chooses(self) -> Self:
        if bool(self.images) == bool(self.where):
            raise ValueError("expected either images or where")
        return self

    def describe(self) -> str:
        """Return the choice in words."""
        if self.where:
            return " and ".join(f"{key} {', '.join(names)}" for key, names in self.where.items())
        listed = ", ".join(self.images[:_MOST])
        more = f" and {len(self.images) - _MOST} more" if len(self.images) > _MOST else ""
        return f"{'image' if len(self.images) == 1 else 'images'} {listed}{more}"


Labeled = Annotated[
    Annotated[Share, Tag("number")] | Annotated[LabeledImages, Tag("LabeledImages")],
    Discriminator(
        lambda value: "LabeledImages" if isinstance(value, dict | LabeledImages) else "number"
    ),
]


def choose_labeled(
    dataset: "Dataset", scenes: Sequence[Scene], labeled: float | LabeledImages, seed: int
) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """Choose the scenes whose masks may be used, by a share or by their images.

    Args:
        dataset: the dataset.
        scenes: the scenes of the training split.
        labeled: share of the scenes with a mask, in (0, 1], or a choice of images.
        seed: seed of the order.

    Returns:
        Labeled and unlabeled scenes, as in `draw_labeled`.

    Raises:
        DataError: If a name is that of no training image, an image that is named has no mask, no scene has a value, or
            no scene has a mask.
    """
    if isinstance(labeled, float):
        return draw_labeled(scenes, labeled, seed)
    if labeled.where:
        chosen = _matching(dataset, scenes, labeled)
    else:
        known = {split: _images(scenes) for split, scenes in dataset.splits.items()}
        images = {_image(known, name) for name in labeled.images}
        chosen = [scene for scene in scenes if scene.image in images]
        _require_masks(chosen)
    drawn, _ = draw_labeled(chosen, labeled.share, seed)
    kept = {scene.id for scene in drawn}
    return drawn, tuple(scene for scene in _drawn(scenes, seed) if scene.id not in kept)


def _matching(dataset: "Dataset", scenes: Sequence[Scene], labeled: LabeledImages) -> list[Scene]:
    fields = dataset.manifest.fields
    if unknown := [field for field in labeled.where if field not in fields]:
        raise DataError(
            f"'{unknown[0]}' is not a field of the images pattern{suggestion(unknown[0], fields)}",
            where=f"{_KEY}.where; the fields: {', '.join(fields)}",
            remedy="name one of them",
        )
    values = {
        scene.image: dict(zip(fields, _name(scene).split("/"), strict=True)) for scene in scenes
    }
    require_values(labeled.where, list(values.values()), f"{_KEY}.where", "training scene")
    return [
        scene
        for scene in scenes
        if all(values[scene.image][field] in names for field, names in labeled.where.items())
    ]


def _image(known: Mapping[SplitName, Mapping[str, str]], name: str) -> str:
    """Return the path of the training image with this id or path.

    Args:
        known: the images of each split, from `_images`.
        name: an id or a path.

    Raises:
        DataError: If there is none.
    """
    training = known["train"]
    if name in training:
        return training[name]
    where = f"{_KEY}.images"
    if (image := image_id(name)) in training:
        raise DataError(
            f"'{name}' is a window, and images are named here",
            where=where,
            remedy=f"write '{image}' for all of its windows, or list windows under `labeled` of the manifest",
        )
    for split, images in known.items():
        if name in images:
            raise DataError(
                f"the image '{name}' is in split {split}, so it cannot be labeled for training",
                where=where,
                remedy="name images of the training split",
            )
    raise DataError(
        f"no training image is named '{name}'{suggestion(name, training)}",
        where=f"{where}; found: {', '.join(sorted(training.keys() - training.values())[:20])}",
        remedy="name images by their path fields, or by their paths below the data root",
    )


def _images(scenes: Sequence[Scene]) -> dict[str, str]:
    """Return the path of each image, by its id and by its path."""
    return {key: scene.image for scene in scenes for key in (_name(scene), scene.image)}


def _name(scene: Scene) -> str:
    """Return the id of the scene's image."""
    return scene.id if scene.window is None else image_id(scene.id)


def _require_masks(scenes: Sequence[Scene]) -> None:
    masked = {scene.image for scene in scenes if scene.mask is not None}
    bare = sorted({scene.image for scene in scenes} - masked)
    if bare:
        raise DataError(
            f"{counted(len(bare), 'image')} without a mask, the first is {bare[0]}",
            where=f"{_KEY}.images",
            remedy="add the masks, or remove the images from the list",
        )


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
