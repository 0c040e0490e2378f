"""Guess which files are images and masks, and the two path patterns that pair them.

Every path has several readings (see `names`). The pair of forms that gives the most images a mask wins; its words
must identify the mask. Parts that differ between paths become fields of the patterns.
"""

import string
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.guessing.assets import asset_patterns
from rsmtdf_core.scenes.guessing.band_files import find_band_files
from rsmtdf_core.scenes.guessing.names import HOLE, Form, SceneName, readings
from rsmtdf_core.scenes.images.folder import files_below, has_image_name, unread_files, unread_note
from rsmtdf_core.scenes.images.formats import IMAGE_SUFFIXES, VRT
from rsmtdf_core.scenes.images.source import Source, source_of
from rsmtdf_core.scenes.images.vrt import vrt_sources
from rsmtdf_core.scenes.patterns import match_stacks, pattern_fields
from rsmtdf_core.scenes.stac import is_document

_TRAIN_WORDS = frozenset({"train", "training"})
_SPLIT_WORDS = _TRAIN_WORDS | {"val", "valid", "validation", "test", "testing"}
_FIELDS = (
    "area",
    "part",
    "block",
    "group",
    *(f"folder_{letter}" for letter in string.ascii_lowercase),
)
_NO_IMAGE = "name the folder of the data; or, for STAC items, their document: --images items.json"
_BY_HAND = "name the patterns: --images 'images/{name}.png' --masks 'masks/{name}.png'"


@dataclass(frozen=True)
class Layout:
    """The images and masks below a data root.

    Attributes:
        images: path patterns of an image's files: one, or those that are stacked.
        masks: path pattern of the masks; None without masks.
        pairs: field values of each image, and whether it has a mask.
        image_files: posix paths of the files of each image, relative to the root.
        mask_files: posix paths of the masks that belong to an image.
        why: the reason for the guess, as text.
    """

    images: tuple[str, ...]
    masks: str | None
    pairs: tuple[tuple[dict[str, str], bool], ...]
    image_files: tuple[tuple[str, ...], ...]
    mask_files: tuple[str, ...]
    why: str

    @property
    def split_field(self) -> str | None:
        """The field whose values name splits."""
        return "split" if "split" in self.fields else None

    @property
    def area_field(self) -> str | None:
        """The first field that is a folder but not a split."""
        return next((field for field in self.fields if field in _FIELDS), None)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the images' patterns."""
        return pattern_fields(self.images[0])

    def sources(self, root: Path) -> list[Source]:
        """Where each image is read from."""
        return [source_of(root, files) for files in self.image_files]


def guess_layout(
    root: Path, images: Sequence[str] | None = None, masks: str | None = None
) -> Layout:
    """Find the two patterns that give the most images a mask.

    Of scenes with one file for each band (see `find_band_files`), each band has a pattern. The sources of a VRT are
    left out.

    Args:
        root: the data root.
        images: the patterns of an image's files, or the path of a STAC document below the root; None guesses all
            patterns.
        masks: the pattern of the masks; None with patterns means images without masks.

    Raises:
        MissingFileError: If `root` is not a folder, or has no image.
        DataError: If no pattern fits, several fit equally well, or a mask has no image.
    """
    if not root.is_dir():
        raise MissingFileError(
            "this is not a folder", where=root, remedy="name the folder of the data"
        )
    everything = list(files_below(root))
    files = [path.relative_to(root).as_posix() for path in everything if has_image_name(path)]
    if images is not None and len(images) == 1 and is_document(Path(images[0])):
        images, labels = asset_patterns(root, images[0])
        masks = masks or labels
    if images is not None:
        return _matched(root, tuple(images), masks, files)
    if not files:
        suffixes = ", ".join(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)
        unread = unread_files(everything)
        raise MissingFileError(
            f"no image in this folder ({suffixes})"
            + (f"; {unread_note(unread)}" if unread else ""),
            where=root,
            remedy="convert them first" if unread else _NO_IMAGE,
        )
    files = _without_sources(root, files)
    bands = find_band_files(root, files)
    seen = files if bands is None else bands.files
    forms = _by_form(seen)
    pair = _most_pairs(root, forms)
    if pair is None:
        pattern = _pattern_of_all(root, forms, seen)
        return _matched(root, (pattern,) if bands is None else bands.patterns(pattern), None, files)
    image, mask = pair
    mask_files = {path for paths in forms[mask].values() for path in paths}
    image_scenes = {
        scene: left
        for scene, paths in forms[image].items()
        if (left := [path for path in paths if path not in mask_files])
    }
    fields = _fields(root, [*image_scenes, *forms[mask]])
    image_pattern = _pattern(root, image, image_scenes, fields)
    mask_pattern = _pattern(root, mask, forms[mask], fields)
    if bands is not None:
        patterns, masks = bands.patterns(image_pattern), bands.mask_pattern(mask_pattern)
        return _matched(root, patterns, masks, files)
    layout = _matched(root, (image_pattern,), mask_pattern, files)
    _require_one_kind_of_masks(root, layout, forms, image)
    return layout


def _without_sources(root: Path, files: Sequence[str]) -> list[str]:
    """Return the files that are not sources of a VRT among them."""
    mosaics = [root / file for file in files if file.lower().endswith(VRT.suffixes)]
    sources = {source.resolve() for mosaic in mosaics for source in vrt_sources(mosaic)}
    return [file for file in files if not sources or (root / file).resolve() not in sources]


_Forms = Mapping[Form, dict[SceneName, list[str]]]
"""The paths of each scene, by form."""


def _by_form(files: Sequence[str]) -> _Forms:
    forms: dict[Form, dict[SceneName, list[str]]] = {}
    for path in files:
        for form, scene in dict.fromkeys(readings(path)):
            forms.setdefault(form, {}).setdefault(scene, []).append(path)
    return forms


def _most_pairs(root: Path, forms: _Forms) -> tuple[Form, Form] | None:
    """Return the forms of images and masks that pair the most scenes; None if no mask belongs to an image.

    Raises:
        DataError: If other files would pair as many.
    """
    by_scene: dict[SceneName, set[Form]] = {}
    for form, scenes in forms.items():
        for scene in scenes:
            by_scene.setdefault(scene, set()).add(form)
    counts: Counter[tuple[Form, Form]] = Counter()
    for group, times in Counter(map(frozenset, by_scene.values())).items():
        masks = [form for form in group if form.says_mask]
        pairs = ((image, mask) for mask in masks for image in group if mask.is_mask_of(image))
        counts.update(dict.fromkeys(pairs, times))
    if not counts:
        return None

    def fit(pair: tuple[Form, Form]) -> tuple[int, int, int]:
        image, mask = pair
        return counts[pair], -mask.mask_drawbacks, -image.image_drawbacks

    best = max(map(fit, counts))
    tied = [pair for pair in counts if fit(pair) == best]
    # The largest set of images, then the simplest patterns; the last key makes the choice deterministic.
    chosen = min(
        tied, key=lambda pair: (-len(forms[pair[0]]), pair[0].fixed + pair[1].fixed, repr(pair))
    )
    for other in tied:
        if (files := _paired(forms, other)) != _paired(forms, chosen):
            differing = sorted(files ^ _paired(forms, chosen))
            raise DataError(
                f"images and masks can be paired in several ways, for example with {differing[0]} or with "
                f"{differing[-1]}",
                where=root,
                remedy=f"move the other files out of the folder, or {_BY_HAND}",
            )
    return chosen


def _paired(forms: _Forms, pair: tuple[Form, Form]) -> frozenset[str]:
    images, masks = (forms[form] for form in pair)
    return frozenset(
        path for scene in images.keys() & masks for path in (*images[scene], *masks[scene])
    )


def _pattern_of_all(root: Path, forms: _Forms, files: Sequence[str]) -> str:
    """Return the pattern of images without masks.

    Raises:
        DataError: If files are named like masks, or no pattern fits all files.
    """
    masks = sorted({path for form in forms if form.says_mask for path in _paths(forms, form)})
    if masks:
        raise DataError(
            f"{len(masks)} of {len(files)} files are named like masks, for example {masks[0]}, "
            "but none belongs to an image",
            where=root,
            remedy=f"put images into images/ and masks into masks/ with the same names, or {_BY_HAND}",
        )
    form = min(forms, key=lambda form: (-len(_paths(forms, form)), form.fixed, repr(form)))
    if left := sorted(set(files) - _paths(forms, form)):
        raise DataError(
            f"no masks were recognized, and no pattern fits all {len(files)} image files: {len(left)} differ from "
            f"{min(_paths(forms, form))}, for example {left[0]}",
            where=root,
            remedy=f"put images into images/ and masks into masks/ with the same names, or {_BY_HAND}",
        )
    fields = _fields(root, list(forms[form]))
    for scene, paths in forms[form].items():
        if len(paths) > 1:
            image, mask = (_pattern(root, form, {scene: [path]}, fields) for path in paths[:2])
            raise DataError(
                f"two files belong to one scene: {paths[0]} and {paths[1]}",
                where=root,
                remedy=f"if one is the mask of the other, add --images {image!r} --masks {mask!r}; if not, remove one",
            )
    return _pattern(root, form, forms[form], fields)


def _paths(forms: _Forms, form: Form) -> set[str]:
    return {path for paths in forms[form].values() for path in paths}


def _fields(root: Path, scenes: Sequence[SceneName]) -> tuple[str, ...]:
    """Return, for each hole before the scene's name, a field, or the text if all scenes share it.

    Raises:
        DataError: If more folders differ than there are field names.
    """
    names: dict[tuple[str, ...], str] = {}
    free = iter(_FIELDS)
    fields = []
    for column in list(zip(*scenes, strict=True))[:-1]:
        values = set(column)
        if len(values) == 1 and _can_be_spelled(column[0]):
            fields.append(column[0])
            continue
        if column not in names:
            is_split = "split" not in names.values() and _name_splits(values)
            name = "split" if is_split else next(free, "")
            if not name:
                raise DataError(
                    f"the folders differ at more than {len(_FIELDS)} levels",
                    where=root,
                    remedy="name a folder further down",
                )
            names[column] = name
        fields.append(f"{{{names[column]}}}")
    return tuple(fields)


def _name_splits(folders: Collection[str]) -> bool:
    """Whether folders are named train, val or test, perhaps among others."""
    splits = {folder.lower() for folder in folders} & _SPLIT_WORDS
    return len(splits) == len(folders) or (len(splits) > 1 and not splits.isdisjoint(_TRAIN_WORDS))


def _can_be_spelled(text: str) -> bool:
    """Whether a pattern can contain a text: it must be printable and have no special character of patterns."""
    return text.isprintable() and not set(text) & set("{}*?\\")


def _pattern(
    root: Path, form: Form, scenes: Mapping[SceneName, Sequence[str]], fields: Sequence[str]
) -> str:
    """Return the form with fields in its holes.

    Raises:
        DataError: If a fixed part has characters that patterns cannot contain.
    """
    parts = [*form.folders, form.name]
    for part in parts:
        if not _can_be_spelled(part.replace(HOLE, "")):
            raise DataError(
                f"a pattern cannot contain the name {part.replace(HOLE, '')!r}",
                where=root,
                remedy="rename the folder or file without braces, stars, question marks or unprintable characters",
            )
    text = "/".join(parts)
    for field in (*fields, "{name}"):
        text = text.replace(HOLE, field, 1)
    suffixes = {Path(path).suffix for paths in scenes.values() for path in paths}
    return text + (suffixes.pop() if len(suffixes) == 1 else ".*")


def _matched(
    root: Path, images: tuple[str, ...], masks: str | None, files: Sequence[str]
) -> Layout:
    """Return the layout of the files that the patterns match.

    Raises:
        MissingFileError: If no image matches.
        DataError: If two files belong to one scene, a pattern is invalid, or masks have no image.
    """
    try:
        fields = pattern_fields(images[0])
        for pattern in (*images[1:], *([] if masks is None else [masks])):
            _require_fields(pattern, fields, images)
    except ValueError as error:
        raise DataError(str(error), where=root, remedy=_BY_HAND) from None
    image_of, mask_of = match_stacks(root, images, masks, fields)
    if not image_of:
        raise MissingFileError(f"no image matches '{images[0]}'", where=root, remedy=_BY_HAND)
    mask_fields = fields if masks is None else pattern_fields(masks)
    pairs = [dict(zip(fields, key, strict=True)) for key in image_of]
    keys = [tuple(pair[field] for field in fields if field in mask_fields) for pair in pairs]
    if lone := [path for key, path in mask_of.items() if key not in keys]:
        raise DataError(
            f"{len(lone)} of {len(mask_of)} masks have no image, for example {lone[0]}",
            where=root,
            remedy=f"add their images, move these masks out of the folder, or {_BY_HAND}",
        )
    used = {path for paths in image_of.values() for path in paths}
    left = sorted(set(files) - {*used, *mask_of.values()})
    masked = [key in mask_of for key in keys]
    why = f"{len(image_of)} images, {sum(masked)} of them with a mask"
    if len(images) > 1:
        why += f"; {len(images)} files for the bands of each"
    if left:
        why += f"; {len(left)} other image files are not used, for example {left[0]}"
    return Layout(
        images=images,
        masks=masks if mask_of else None,
        pairs=tuple(zip(pairs, masked, strict=True)),
        image_files=tuple(image_of.values()),
        mask_files=tuple(mask_of.values()),
        why=why,
    )


def _require_fields(pattern: str, fields: tuple[str, ...], images: Sequence[str]) -> None:
    """Check the fields of a further pattern; masks of stacked files may have only some of the fields.

    Raises:
        ValueError: If they do not fit.
    """
    found = set(pattern_fields(pattern))
    some = len(images) > 1 and pattern not in images and found < set(fields)
    if found != set(fields) and not some:
        noun = "the files of an image" if pattern in images else "images and masks"
        raise ValueError(f'{noun} need the same fields: "{images[0]}", "{pattern}"')


def _require_one_kind_of_masks(root: Path, layout: Layout, forms: _Forms, image: Form) -> None:
    """Refuse masks that were taken for images, or that the patterns miss although their images have no other mask.

    Raises:
        DataError: If there is such a mask; the message names it.
    """
    used = set(layout.mask_files)
    images = {path for (path,) in layout.image_files}
    bare = images - {
        path
        for (path,), (_, masked) in zip(layout.image_files, layout.pairs, strict=True)
        if masked
    }
    for form, scenes in forms.items():
        if not form.is_mask_of(image):
            continue
        for scene in scenes.keys() & forms[image].keys():
            path = scenes[scene][0]
            if path not in used and (path in images or not bare.isdisjoint(forms[image][scene])):
                raise DataError(
                    f"{path} looks like a mask of {forms[image][scene][0]}, which the pattern {layout.masks} misses",
                    where=root,
                    remedy=f"name all masks in the same way, move this file out of the folder, or {_BY_HAND}",
                )
