"""Guess the training, validation and test scenes from folder names, and draw the rest at random."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing.layout import Layout
from rsmtdf_core.scenes.split_settings import BlockSpec, SplitName, SplitSpec
from rsmtdf_core.scenes.window_settings import WindowSpec

_MEANING: Mapping[str, SplitName] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_ORDER: tuple[SplitName, ...] = ("train", "val", "test")
_FEW_AREAS = 3
_FEW_SCENES = 7  # with fewer, 15 percent are less than one scene
_FEWEST_SHARED = 4  # with fewer, 15 percent round to no scene
_MOST_AREAS = 200


@dataclass(frozen=True)
class SplitGuess:
    """The proposed splits and the reason.

    Attributes:
        splits: the rule of each split.
        why: the reason, as text.
        drawn: the splits that were drawn at random, as no folder distinguishes them.
        unit: the field whose values were drawn as a whole; None if single scenes were drawn.
        window: the windows that are scenes; None for whole images.
        blocks: the blocks of splits by block.
    """

    splits: dict[SplitName, SplitSpec]
    why: str
    drawn: tuple[SplitName, ...] = ()
    unit: str | None = None
    window: WindowSpec | None = None
    blocks: BlockSpec | None = None


def guess_splits(layout: Layout) -> SplitGuess:
    """Propose the splits that folders name, else whole areas, else random scenes.

    Raises:
        DataError: If folders name splits, but none for training.
    """
    if layout.split_field is not None:
        return _named(layout, layout.split_field)
    labeled = [fields for fields, masked in layout.pairs if masked]
    partly = 0 < len(labeled) < len(layout.pairs)
    area = layout.area_field
    if area is not None and (guess := _by_area(layout, area)) is not None:
        return guess
    if len(layout.pairs) == 1:
        return SplitGuess({"train": SplitSpec()}, "one scene alone")
    if not partly:
        shares = _shares(len(layout.pairs))
        return SplitGuess(shares, "by chance: neighbors may be in different splits", (*shares,))
    names = [fields["name"] for fields in labeled]
    if area is not None or len(set(names)) < len(names) or len(names) < _FEW_SCENES:
        return SplitGuess(
            {"train": SplitSpec()},
            "all for training: too few scenes have masks to set some aside; edit `splits`",
        )
    return _by_name(layout, names)


def _named(layout: Layout, field: str) -> SplitGuess:
    """The splits that folders name; without masks of their own, val is part of train and test is half of val.

    Folders with other names go to train if they have no masks, otherwise to no split.
    """
    folders: dict[SplitName, tuple[str, ...]] = {}
    masked = Counter(fields[field] for fields, has in layout.pairs if has)
    others = []
    for value in sorted({fields[field] for fields, _ in layout.pairs}):
        split = _MEANING.get(value.lower(), "train")
        named = value.lower() in _MEANING
        if (split == "train" and named) or bool(masked[value]) == named:
            folders[split] = (*folders.get(split, ()), value)
        elif not named:
            others.append(value)
    if "train" not in folders:
        raise DataError(
            "no folder is named train",
            where=layout.images[0],
            remedy="write the manifest by hand: rsmtdf data copy folder mine.yaml",
        )
    whole = {split: SplitSpec(where={field: values}) for split, values in folders.items()}
    why = "by folder names"
    drawn: tuple[SplitName, ...] = ()
    if "val" not in whole:
        aside = _set_aside(layout, field, folders["train"])
        whole |= aside
        drawn = tuple(aside)
        why += "; no masks for val, so "
        why += "15 % of train are set aside by chance" if "val" in whole else "nothing is set aside"
    elif "test" not in whole and sum(masked[value] for value in folders["val"]) > 1:
        whole["val"] = SplitSpec(where={field: folders["val"]}, share=(0, 0.5))
        whole["test"] = SplitSpec(where={field: folders["val"]}, share=(0.5, 1))
        drawn = ("val", "test")
        why += "; no masks for test, so val is halved"
    why += f"; {', '.join(others)} in no split" if others else ""
    return SplitGuess({name: whole[name] for name in _ORDER if name in whole}, why, drawn)


def _set_aside(layout: Layout, field: str, folders: tuple[str, ...]) -> dict[SplitName, SplitSpec]:
    """Split train into train and val; only train if too few scenes have masks."""
    pairs = [(fields, masked) for fields, masked in layout.pairs if fields[field] in folders]
    if all(masked for _, masked in pairs) and len(pairs) >= _FEWEST_SHARED:
        return {
            "train": SplitSpec(where={field: folders}, share=(0, 0.85)),
            "val": SplitSpec(where={field: folders}, share=(0.85, 1)),
        }
    names = Counter(fields["name"] for fields, _ in pairs)
    labeled = [fields["name"] for fields, masked in pairs if masked]
    val = tuple(labeled[::_FEW_SCENES])
    if len(labeled) < _FEW_SCENES or any(names[name] > 1 for name in val):
        return {"train": SplitSpec(where={field: folders})}
    train = tuple(name for name in names if name not in val)
    return {
        "train": SplitSpec(where={field: folders, "name": train}),
        "val": SplitSpec(where={field: folders, "name": val}),
    }


def _by_area(layout: Layout, field: str) -> SplitGuess | None:
    """Assign whole areas, the largest to training; None if too few or too many areas have all of their masks."""
    counts = Counter(fields[field] for fields, _ in layout.pairs)
    bare = {fields[field] for fields, masked in layout.pairs if not masked}
    scored = sorted(
        (area for area in counts if area not in bare), key=lambda area: (counts[area], area)
    )
    each = max(1, round(0.15 * len(counts)))
    if not _FEW_AREAS <= len(counts) <= _MOST_AREAS or len(scored) < 2 * each:
        return None
    val, test = sorted(scored[:each]), sorted(scored[each : 2 * each])
    train = sorted(counts.keys() - {*val, *test})
    where = {"train": train, "val": val, "test": test}
    return SplitGuess(
        {_MEANING[name]: SplitSpec(where={field: tuple(values)}) for name, values in where.items()},
        f"by folder ({field}), the largest for training: scenes of one folder may touch each other",
        _ORDER,
        field,
    )


def _shares(scenes: int) -> dict[SplitName, SplitSpec]:
    if scenes == 2:
        return {"train": SplitSpec(share=(0, 0.5)), "test": SplitSpec(share=(0.5, 1))}
    low, high = (0.7, 0.85)
    if scenes < _FEW_SCENES:
        low, high = round((scenes - 2) / scenes, 2), round((scenes - 1) / scenes, 2)
    return {
        "train": SplitSpec(share=(0, low)),
        "val": SplitSpec(share=(low, high)),
        "test": SplitSpec(share=(high, 1)),
    }


def _by_name(layout: Layout, labeled: list[str]) -> SplitGuess:
    """Assign scenes by name: every seventh with a mask to validation and to testing, the rest to training."""
    test, val = tuple(labeled[::_FEW_SCENES]), tuple(labeled[3::_FEW_SCENES])
    train = tuple(_others(layout, {*test, *val}))
    where: dict[SplitName, tuple[str, ...]] = {"train": train, "val": val, "test": test}
    return SplitGuess(
        {name: SplitSpec(where={"name": values}) for name, values in where.items()},
        "by name: what is scored needs masks, and not all scenes have one",
        _ORDER,
    )


def _others(layout: Layout, taken: set[str]) -> Iterator[str]:
    return (fields["name"] for fields, _ in layout.pairs if fields["name"] not in taken)
