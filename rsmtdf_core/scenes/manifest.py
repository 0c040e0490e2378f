"""The manifest of a dataset: its classes, colors, mask encoding and splits, in one reviewed file.

A manifest has everything that turns a folder of images into scenes with class ids, so that no class list, color or
split is hidden in code.
"""

from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, model_validator

import data_manifests
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.bands import SHOWN, BandSettings
from rsmtdf_core.scenes.lists import read_scene_list
from rsmtdf_core.scenes.patterns import pattern_fields
from rsmtdf_core.scenes.pixel_masks import ClassSpec, ColorMasks, IndexMasks, color_rgb
from rsmtdf_core.scenes.shapes.settings import (
    AnnotatedArea,
    AnnotationMasks,
    DrawnMasks,
    ShapeMasks,
    SharedPattern,
    require_named,
)
from rsmtdf_core.scenes.split_settings import BlockSpec, SceneIds, SplitName, SplitSpec
from rsmtdf_core.scenes.window_settings import WindowSpec
from rsmtdf_core.settings import LONGEST_PATH, Settings
from rsmtdf_core.validation import load_yaml, suggestion, validate


def _checked(pattern: str) -> str:
    pattern_fields(pattern)
    return pattern


PathPattern = Annotated[str, Field(max_length=LONGEST_PATH), AfterValidator(_checked)]
BandFiles = Annotated[tuple[PathPattern, ...], Field(min_length=2, max_length=1024)]


class ProtocolFacts(Settings):
    """Peculiarities of public evaluation code on the dataset; see `evaluation.protocols`.

    Attributes:
        official_ignores: names of classes whose pixels the official script ignores; None: the unscored classes.
        dwl_counts_ignored: whether the DWL code counts predictions on ignored pixels as wrong.
        padding: name of the class that the published crops have outside their image; None: they are not padded.
    """

    official_ignores: tuple[str, ...] | None = None
    dwl_counts_ignored: bool = False
    padding: str | None = Field(default=None, exclude_if=lambda padding: padding is None)


class Manifest(Settings):
    """A dataset as reviewed by a person.

    Attributes:
        name: short name, also that of the packaged file.
        title: name for people.
        classes: the classes in the order of their ids, from 0.
        ignore_id: id of pixels that are neither learned nor scored; not a class id.
        unscored: names of classes that are learned but excluded from the scores.
        protocols: peculiarities of the dataset in protocols other than ours.
        images: path pattern of the images below the data root, or of assets of STAC items (see `patterns`); or several
            with the same fields, of files that are stacked to the bands of an image, on the grid of the first.
        masks: path pattern of the masks, with the same fields; for shapes with some of them or none, as images may
            share a file or folder; None without masks.
        mask_encoding: the encoding of class ids in the masks' pixels.
        window: size and stride of scenes that are windows of larger rasters, and training windows at random positions.
        bands: the choice and scale of bands, for GeoTIFFs; teachers see the first three, the student all. Omitted if
            not set, as in manifests from before the key existed.
        parent: names of the fields that identify the tile from which an image was cut; empty for images that are not
            crops.
        splits: the scenes for training, validation and testing; by default crops of one parent stay together. If they
            are drawn by block or fold, images without a mask are for training only.
        blocks: the blocks of splits with `by: block`.
        folds: number of folds of splits with `folds`, for cross-validation. Fold k of the dataset adds k to the numbers
            of each split, modulo this number, see `with_fold`.
        labeled: ids of the training scenes whose masks may be used, if they are listed instead of drawn; in a file,
            the name of a list next to the manifest.
        notes: facts that a reader of scores must know; every report repeats them.
    """

    name: str = Field(pattern="^[a-z][a-z0-9_-]*$", max_length=128)
    title: str
    classes: tuple[ClassSpec, ...] = Field(min_length=1, max_length=255)
    ignore_id: int = Field(default=255, ge=0, le=255)
    unscored: tuple[str, ...] = ()
    protocols: ProtocolFacts = ProtocolFacts()
    images: PathPattern | BandFiles
    masks: SharedPattern | None
    mask_encoding: Annotated[
        IndexMasks | ColorMasks | ShapeMasks | AnnotationMasks, Field(discriminator="encoding")
    ]
    window: WindowSpec | None = None
    bands: BandSettings | None = Field(default=None, exclude_if=lambda bands: bands is None)
    parent: tuple[str, ...] = ()
    splits: dict[SplitName, SplitSpec] = Field(min_length=1)
    blocks: BlockSpec | None = Field(default=None, exclude_if=lambda blocks: blocks is None)
    folds: int | None = Field(default=None, ge=2, le=1000, exclude_if=lambda folds: folds is None)
    labeled: SceneIds | None = None
    notes: tuple[str, ...] = ()

    @property
    def image_bands(self) -> int:
        """The number of bands that the student sees."""
        return SHOWN if self.bands is None else len(self.bands.indices)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes in the order of their ids."""
        return tuple(spec.name for spec in self.classes)

    @property
    def scored_ids(self) -> tuple[int, ...]:
        """The ids of the classes that count in the scores."""
        return tuple(i for i, name in enumerate(self.class_names) if name not in self.unscored)

    @property
    def padding_id(self) -> int | None:
        """The id of the class that published crops have outside their image; None if they are not padded."""
        padding = self.protocols.padding
        return None if padding is None else self.class_names.index(padding)

    @property
    def palette(self) -> npt.NDArray[np.uint8]:
        """The colors of the classes, uint8 [C, 3]."""
        return np.array([color_rgb(spec.color) for spec in self.classes], np.uint8)

    @property
    def image_patterns(self) -> tuple[str, ...]:
        """The path patterns of an image's files: one, or those that are stacked."""
        return (self.images,) if isinstance(self.images, str) else self.images

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the image pattern's fields, in order."""
        return pattern_fields(self.image_patterns[0])

    @property
    def mask_fields(self) -> tuple[str, ...]:
        """The names of the masks pattern's fields, in the order of the images pattern; empty without masks."""
        named = () if self.masks is None else pattern_fields(self.masks, required=False)
        return (
            *(field for field in self.fields if field in named),
            *(field for field in named if field not in self.fields),
        )

    @property
    def area_pattern(self) -> str | None:
        """The path pattern of the files of annotated areas; None without such files."""
        annotated = getattr(self.mask_encoding, "annotated", None)
        return annotated.file if isinstance(annotated, AnnotatedArea) else None

    @property
    def labeled_share(self) -> float | None:
        """The share of the training scenes that is listed as labeled; None if none is listed."""
        listed = self.splits["train"].scenes if "train" in self.splits else None
        return None if self.labeled is None or not listed else len(self.labeled) / len(listed)

    def with_fold(self, fold: int) -> "Manifest":
        """Return the manifest with the folds of each split moved on by `fold`.

        Raises:
            ConfigError: If the manifest has no folds, or not that many.
        """
        if self.folds is None:
            raise ConfigError(
                f"the manifest {self.name} has no folds",
                where="data.fold",
                remedy="set `folds: 5` in the manifest, and folds of the splits, such as `test: {folds: [0]}`",
            )
        if not 0 <= fold < self.folds:
            raise ConfigError(
                f"expected a fold from 0 to {self.folds - 1}, found {fold}", where="data.fold"
            )
        splits = {
            name: spec
            if spec.folds is None
            else spec.model_copy(
                update={"folds": tuple((number + fold) % self.folds for number in spec.folds)}
            )
            for name, spec in self.splits.items()
        }
        return self.model_copy(update={"splits": splits})

    @model_validator(mode="after")
    def _has_coherent_classes(self) -> Self:
        for attribute, values in {
            "class names": self.class_names,
            "class colors": tuple(spec.color for spec in self.classes),
        }.items():
            if repeated := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"{attribute} must differ, found twice: {', '.join(repeated)}")
        if self.ignore_id < len(self.classes):
            raise ValueError(f"ignore_id {self.ignore_id} is the id of a class; use 255")
        for key, names in {
            "unscored": self.unscored,
            "protocols.official_ignores": self.protocols.official_ignores or (),
            "protocols.padding": (self.protocols.padding,) if self.protocols.padding else (),
        }.items():
            for name in names:
                if name not in self.class_names:
                    raise ValueError(
                        f"{key} names no class: '{name}'{suggestion(name, self.class_names)}"
                    )
        if not self.scored_ids:
            raise ValueError("every class is unscored")
        if isinstance(self.mask_encoding, DrawnMasks):
            self.mask_encoding.require_classes(self.class_names)
        else:
            require_named("values", self.mask_encoding.values.values(), self.class_names)
        return self

    @model_validator(mode="after")
    def _stacks_files_of_one_image(self) -> Self:
        first, *further = self.image_patterns
        for number, pattern in enumerate(further, 1):
            if pattern in self.image_patterns[:number]:
                raise ValueError(f'images names "{pattern}" twice; use bands.indices for its bands')
            if set(pattern_fields(pattern)) != set(self.fields):
                raise ValueError(
                    f'the files of an image need the same fields: "{first}", "{pattern}"'
                )
        return self

    @model_validator(mode="after")
    def _has_coherent_fields(self) -> Self:
        drawn = isinstance(self.mask_encoding, DrawnMasks) and self.mask_encoding.shared
        may_share = drawn or len(self.image_patterns) > 1
        shared = may_share and set(self.mask_fields) < set(self.fields)
        if self.masks is not None and set(self.mask_fields) != set(self.fields) and not shared:
            raise ValueError(
                f'images and masks need the same fields: "{self.image_patterns[0]}", "{self.masks}"'
            )
        if (area := self.area_pattern) is not None:
            for field in pattern_fields(area, required=False):
                if field not in self.mask_fields:
                    raise ValueError(
                        f"mask_encoding.annotated.file: '{field}' is not a field of the masks pattern"
                    )
        named = {f"splits.{split}.where": spec.where for split, spec in self.splits.items()}
        for key, fields in {"parent": self.parent, **named}.items():
            for field in fields:
                if field not in self.fields:
                    raise ValueError(
                        f"{key}: '{field}' is not a field of the images pattern"
                        f"{suggestion(field, self.fields)}"
                    )
        return self

    @model_validator(mode="after")
    def _has_coherent_blocks_and_folds(self) -> Self:
        by_block = [name for name, spec in self.splits.items() if spec.by == "block"]
        if by_block and self.blocks is None:
            raise ValueError(
                f"splits.{by_block[0]} is drawn by block, so `blocks` must be set, such as {{size: 500, buffer: 50}}"
            )
        if self.blocks is not None and not by_block:
            raise ValueError("blocks are set, but no split has `by: block`")
        named = [
            (number, split) for split, spec in self.splits.items() for number in spec.folds or ()
        ]
        if self.folds is None and named:
            raise ValueError(f"splits.{named[0][1]} names folds, so `folds` must be set")
        if self.folds is not None and not named:
            raise ValueError("folds are set, but no split names any")
        for number, split in named:
            if number >= (self.folds or 0):
                raise ValueError(
                    f"splits.{split}.folds: expected numbers below {self.folds}, found {number}"
                )
            if [other for other, _ in named].count(number) > 1:
                raise ValueError(f"fold {number} is named twice")
        return self

    @model_validator(mode="after")
    def _matches_colors_that_can_be_told_apart(self) -> Self:
        encoding = self.mask_encoding
        if isinstance(encoding, ColorMasks) and encoding.match == "threshold":
            for color in (*encoding.class_ids(self.classes), *encoding.ignore):
                if not set(color_rgb(color)) <= {0, 255}:
                    raise ValueError(f"mask_encoding.match: threshold cannot match {color}")
        return self

    @model_validator(mode="after")
    def _draws_windows_of_a_rule(self) -> Self:
        if self.window is None or self.window.random is None:
            return self
        if "train" not in self.splits or self.splits["train"].scenes is not None:
            raise ValueError("window.random draws training windows, so splits.train must be a rule")
        return self

    @model_validator(mode="after")
    def _lists_labeled_scenes_of_the_training_split(self) -> Self:
        if self.labeled is None:
            return self
        train = self.splits.get("train")
        if train is None or train.scenes is None:
            raise ValueError("labeled lists scenes, so splits.train must list its scenes too")
        if not self.labeled:
            raise ValueError("labeled lists no scene")
        if strange := sorted(set(self.labeled) - set(train.scenes)):
            raise ValueError(
                f"labeled: {len(strange)} scenes are not in splits.train, the first is {strange[0]}"
            )
        return self


def packaged_manifests() -> tuple[str, ...]:
    """Return the names of the manifests that come with rsmtdf."""
    files = resources.files(data_manifests).iterdir()
    return tuple(sorted(file.name[:-5] for file in files if file.name.endswith(".yaml")))


def load_manifest(name_or_path: str, fold: int | None = None) -> Manifest:
    """Load a packaged manifest by a name such as "dubai", or a manifest in a YAML file.

    Args:
        name_or_path: a name, or a path that ends in .yaml.
        fold: the fold of its splits, see `Manifest.with_fold`; None leaves them as they are.

    Raises:
        ConfigError: If the name is unknown, the file is missing or invalid, or the manifest has no such fold.
    """
    if fold is not None:
        return load_manifest(name_or_path).with_fold(fold)
    if name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
        return validate(Manifest, _with_lists(load_yaml(path), path.parent), str(path))
    names = packaged_manifests()
    if name_or_path not in names:
        raise ConfigError(
            f"unknown manifest '{name_or_path}'{suggestion(name_or_path, names)}",
            remedy=f"name one of {', '.join(names)}, or give a path that ends in .yaml",
        )
    with resources.as_file(resources.files(data_manifests) / f"{name_or_path}.yaml") as path:
        return validate(Manifest, load_yaml(path), name_or_path)


def _with_lists(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the manifest's values with each list file's name replaced by its ids."""
    splits = values.get("splits")
    holders = [(values, "labeled")]
    if isinstance(splits, dict):
        holders += [(spec, "scenes") for spec in splits.values() if isinstance(spec, dict)]
    for holder, key in holders:
        if isinstance(name := holder.get(key), str):
            holder[key] = read_scene_list(folder, name)
    return values
