"""Which files are images, which are masks, and the two path patterns that pair them.

Every path can be read in several ways (see `names`). The pair of forms that gives most images a mask wins, where
words tell which of the two is the mask's. What differs between paths becomes fields of the patterns.
"""

import string
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsmtdf_core.errors import DataError, MissingFileError
from rsmtdf_core.scenes.guessing.names import HOLE, Form, SceneName, readings
from rsmtdf_core.scenes.images.folder import files_below, has_image_name, unread_files, unread_note
from rsmtdf_core.scenes.images.formats import IMAGE_SUFFIXES
from rsmtdf_core.scenes.patterns import match_pairs, pattern_fields

_TRAIN_WORDS = frozenset({"train", "training"})
_SPLIT_WORDS = _TRAIN_WORDS | {"val", "valid", "validation", "test", "testing"}
_FIELDS = (
    "area",
    "part",
    "block",
    "group",
    *(f"folder_{letter}" for letter in string.ascii_lowercase),
)
_BY_HAND = "name the patterns: --images 'images/{name}.png' --masks 'masks/{name}.png'"


@dataclass(frozen=True)
class Layout:
    """How files lie below a data root.

    Attributes:
        images: path pattern of the images.
        masks: path pattern of the masks; None where there are none.
        pairs: field values of each image, and whether it has a mask.
        image_files: posix paths relative to the root.
        mask_files: the same, of those that belong to an image.
        why: what was seen, in words.
    """

    images: str
    masks: str | None
    pairs: tuple[tuple[dict[str, str], bool], ...]
    image_files: tuple[str, ...]
    mask_files: tuple[str, ...]
    why: str

    @property
    def split_field(self) -> str | None:
        """The field whose values are names of splits."""
        return "split" if "split" in pattern_fields(self.images) else None

    @property
    def area_field(self) -> str | None:
        """The first field that is a folder and no split."""
        return next((field for field in pattern_fields(self.images) if field in _FIELDS), None)


def guess_layout(root: Path, images: str | None = None, masks: str | None = None) -> Layout:
    """The two patterns that give most images a mask.

    Args:
        root: the data root.
        images: the pattern of the images, where it is known.
        masks: that of the masks; None beside `images` stands for images without masks.

    Raises:
        MissingFileError: `root` is no folder, or has no image in it.
        DataError: no pattern fits, several fit equally well, or a mask has no image.
    """
    if not root.is_dir():
        raise MissingFileError("this is not a folder", where=root, remedy="name the data's folder")
    everything = list(files_below(root))
    files = [path.relative_to(root).as_posix() for path in everything if has_image_name(path)]
    if not files:
        known = ", ".join(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)
        unread = unread_files(everything)
        raise MissingFileError(
            f"no image in this folder ({known})" + (f"; {unread_note(unread)}" if unread else ""),
            where=root,
            remedy="convert them first" if unread else "name the data's folder",
        )
    if images is not None:
        return _matched(root, images, masks, files)
    forms = _by_form(files)
    pair = _most_pairs(root, forms)
    if pair is None:
        return _matched(root, _pattern_of_all(root, forms, files), None, files)
    image, mask = pair
    mask_files = {path for paths in forms[mask].values() for path in paths}
    image_scenes = {
        scene: left
        for scene, paths in forms[image].items()
        if (left := [path for path in paths if path not in mask_files])
    }
    fields = _fields(root, [*image_scenes, *forms[mask]])
    layout = _matched(
        root,
        _pattern(root, image, image_scenes, fields),
        _pattern(root, mask, forms[mask], fields),
        files,
    )
    _require_one_kind_of_masks(root, layout, forms, image)
    return layout


_Forms = Mapping[Form, dict[SceneName, list[str]]]
"""The paths of each scene, by the form in which they are read."""


def _by_form(files: Sequence[str]) -> _Forms:
    forms: dict[Form, dict[SceneName, list[str]]] = {}
    for path in files:
        for form, scene in dict.fromkeys(readings(path)):
            forms.setdefault(form, {}).setdefault(scene, []).append(path)
    return forms


def _most_pairs(root: Path, forms: _Forms) -> tuple[Form, Form] | None:
    """The forms of images and masks that pair most scenes; None where no mask belongs to an image.

    Raises:
        DataError: other files would pair as many.
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
    # The largest set of images, then the simplest patterns; the last makes the choice the same each time.
    chosen = min(
        tied, key=lambda pair: (-len(forms[pair[0]]), pair[0].fixed + pair[1].fixed, repr(pair))
    )
    for other in tied:
        if (files := _paired(forms, other)) != _paired(forms, chosen):
            differing = sorted(files ^ _paired(forms, chosen))
            raise DataError(
                f"images and masks pair up in several ways, {differing[0]} or {differing[-1]} for one",
                where=root,
                remedy=f"move what is not meant out of the folder, or {_BY_HAND}",
            )
    return chosen


def _paired(forms: _Forms, pair: tuple[Form, Form]) -> frozenset[str]:
    images, masks = (forms[form] for form in pair)
    return frozenset(
        path for scene in images.keys() & masks for path in (*images[scene], *masks[scene])
    )


def _pattern_of_all(root: Path, forms: _Forms, files: Sequence[str]) -> str:
    """The pattern of images without masks.

    Raises:
        DataError: files have names of masks, or no pattern fits all of them.
    """
    masks = sorted({path for form in forms if form.says_mask for path in _paths(forms, form)})
    if masks:
        raise DataError(
            f"{len(masks)} of {len(files)} files look like masks by their names, {masks[0]} for one, "
            "and none belongs to an image",
            where=root,
            remedy=f"put images into images/ and masks into masks/, both under the same names, or {_BY_HAND}",
        )
    form = min(forms, key=lambda form: (-len(_paths(forms, form)), form.fixed, repr(form)))
    if left := sorted(set(files) - _paths(forms, form)):
        raise DataError(
            f"no masks were recognised, and no pattern fits all {len(files)} image files: {len(left)} differ from "
            f"{min(_paths(forms, form))}, {left[0]} for one",
            where=root,
            remedy=f"put images into images/ and masks into masks/, both under the same names, or {_BY_HAND}",
        )
    fields = _fields(root, list(forms[form]))
    for scene, paths in forms[form].items():
        if len(paths) > 1:
            image, mask = (_pattern(root, form, {scene: [path]}, fields) for path in paths[:2])
            raise DataError(
                f"two files stand for one scene: {paths[0]} and {paths[1]}",
                where=root,
                remedy=f"if one is the mask of the other, say --images {image!r} --masks {mask!r}; if not, remove one",
            )
    return _pattern(root, form, forms[form], fields)


def _paths(forms: _Forms, form: Form) -> set[str]:
    return {path for paths in forms[form].values() for path in paths}


def _fields(root: Path, scenes: Sequence[SceneName]) -> tuple[str, ...]:
    """For each hole before the scene's name: a field, or the text where all scenes share it.

    Raises:
        DataError: more folders differ than there are names for fields.
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
    """Whether folders are called train, val or test, perhaps beside others."""
    known = {folder.lower() for folder in folders} & _SPLIT_WORDS
    return len(known) == len(folders) or (len(known) > 1 and not known.isdisjoint(_TRAIN_WORDS))


def _can_be_spelled(text: str) -> bool:
    """Whether a pattern can have a text as it is: not where it has characters of its own, or none of Unicode's."""
    return text.isprintable() and not set(text) & set("{}*?\\")


def _pattern(
    root: Path, form: Form, scenes: Mapping[SceneName, Sequence[str]], fields: Sequence[str]
) -> str:
    """The form with fields in its holes.

    Raises:
        DataError: a fixed part has characters that patterns cannot have.
    """
    parts = [*form.folders, form.name]
    for part in parts:
        if not _can_be_spelled(part.replace(HOLE, "")):
            raise DataError(
                f"a pattern cannot have the name {part.replace(HOLE, '')!r}",
                where=root,
                remedy="rename the folder or file: no brace, star, question mark or unprintable character",
            )
    text = "/".join(parts)
    for field in (*fields, "{name}"):
        text = text.replace(HOLE, field, 1)
    suffixes = {Path(path).suffix for paths in scenes.values() for path in paths}
    return text + (suffixes.pop() if len(suffixes) == 1 else ".*")


def _matched(root: Path, images: str, masks: str | None, files: Sequence[str]) -> Layout:
    """The layout as the patterns match it.

    Raises:
        MissingFileError: no image matches.
        DataError: two files stand for one scene, a pattern is none, or masks have no image.
    """
    try:
        fields = pattern_fields(images)
        mask_fields = fields if masks is None else pattern_fields(masks)
    except ValueError as error:
        raise DataError(str(error), where=root, remedy=_BY_HAND) from None
    if set(mask_fields) != set(fields):
        raise DataError(
            f'images and masks need the same fields: "{images}", "{masks}"',
            where=root,
            remedy=_BY_HAND,
        )
    found, paired = match_pairs(root, images, masks, fields)
    if not found:
        raise MissingFileError(f"no image matches '{images}'", where=root, remedy=_BY_HAND)
    if lone := [path for key, path in paired.items() if key not in found]:
        raise DataError(
            f"{len(lone)} of {len(paired)} masks have no image, {lone[0]} for one",
            where=root,
            remedy=f"put the images there, move these masks out of the folder, or {_BY_HAND}",
        )
    left = sorted(set(files) - {*found.values(), *paired.values()})
    why = f"{len(found)} images, {len(paired)} of them with a mask"
    if left:
        why += f"; {len(left)} other image files are not used, {left[0]} for one"
    return Layout(
        images=images,
        masks=masks if paired else None,
        pairs=tuple((dict(zip(fields, key, strict=True)), key in paired) for key in found),
        image_files=tuple(found.values()),
        mask_files=tuple(paired.values()),
        why=why,
    )


def _require_one_kind_of_masks(root: Path, layout: Layout, forms: _Forms, image: Form) -> None:
    """Refuse masks that the patterns miss though their images have no other, and those taken for images.

    Raises:
        DataError: names such a mask.
    """
    used = set(layout.mask_files)
    images = set(layout.image_files)
    bare = images - {
        path for path, (_, masked) in zip(layout.image_files, layout.pairs, strict=True) if masked
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
                    remedy=f"give all masks names of one kind, move it out of the folder, or {_BY_HAND}",
                )
