"""Keep copies of one image in one split, so that no score rewards memorized images.

Randomly drawn splits are drawn again with copies kept together. Splits named by folders stay, but copies in earlier
splits of an image in a later split are left out, so that it is used neither for training nor for choosing a model.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing.splits import SplitGuess
from rsmtdf_core.scenes.scene import ScenePair
from rsmtdf_core.scenes.split_settings import SplitName, SplitSpec
from rsmtdf_core.words import counted

_Members = Mapping[SplitName, Sequence[ScenePair]]
_Unit = tuple[ScenePair, ...]


def part_copies(
    guess: SplitGuess, members: _Members, copies: Sequence[Sequence[str]]
) -> SplitGuess:
    """Change the splits so that no two of them share an image.

    Args:
        guess: the proposed splits.
        members: the pairs of each split.
        copies: groups of images with equal pixels, posix paths.

    Raises:
        DataError: If a split that a folder names holds only copies of images of a later split.
    """
    content = {image: group[0] for group in copies for image in group}
    parted = {split: list(pairs) for split, pairs in members.items()}
    drawn = {split: parted[split] for split in guess.drawn}
    reasons = [guess.why]
    if _contents_shared(drawn, content):
        parted |= _drawn_again(guess, drawn, content)
        parted = {split: pairs for split, pairs in parted.items() if pairs}
        reasons.append("copies of one image are kept in one split")
    if count := _leave_out(parted, content):
        reasons.append(f"{counted(count, 'image')} in no split, as a later split has a copy")
    for split, pairs in parted.items():
        if not pairs:
            raise DataError(
                f"every image of split {split} has a copy in a later split",
                where=members[split][0].image,
                remedy="put other images into one of the folders",
            )
    everything = {pair.id: pair for pairs in members.values() for pair in pairs}
    splits = {
        split: guess.splits[split]
        if list(members[split]) == pairs
        else _spec(guess.unit, pairs, list(everything.values()))
        for split, pairs in parted.items()
    }
    return replace(guess, splits=splits, why="; ".join(reasons))


def _contents_shared(members: _Members, content: Mapping[str, str]) -> bool:
    """Whether two splits have copies of one image."""
    groups = [
        {content[pair.image] for pair in pairs if pair.image in content}
        for pairs in members.values()
    ]
    return len(set().union(*groups)) < sum(map(len, groups))


def _drawn_again(
    guess: SplitGuess, members: _Members, content: Mapping[str, str]
) -> dict[SplitName, list[ScenePair]]:
    """Assign the pairs of some splits to them again, with similar sizes; a split may get none.

    A unit stays together: an image with its copies, or areas that share an image. The smallest units are scored, so
    that an image with many copies goes to training. If some pairs have masks, pairs without a mask are not scored.
    """
    pairs = [pair for split_pairs in members.values() for pair in split_pairs]
    training, *scored = members
    masked = any(pair.mask for pair in pairs)
    units = sorted(_units(guess.unit, pairs, content), key=lambda unit: (len(unit), _rank(unit)))
    waiting = [unit for unit in units if not masked or all(pair.mask for pair in unit)]
    assigned: dict[SplitName, list[ScenePair]] = {split: [] for split in members}
    for number, split in enumerate(reversed(scored), 1):
        # One unit for each remaining split, including the training split.
        reserved = len(scored) - number + (len(waiting) == len(units))
        while len(waiting) > reserved and len(assigned[split]) < len(members[split]):
            unit = waiting.pop(0)
            units.remove(unit)
            assigned[split] += unit
    assigned[training] = [pair for unit in units for pair in unit]
    return {split: sorted(chosen, key=lambda pair: pair.id) for split, chosen in assigned.items()}


def _units(
    field: str | None, pairs: Sequence[ScenePair], content: Mapping[str, str]
) -> Iterator[_Unit]:
    """Group pairs that stay together: those with one value of the field, and those with equal images."""
    unit_of: dict[str, set[str]] = {}
    for pair in pairs:
        area = pair.id if field is None else pair.fields[field]
        labels = {f"area {area}"}
        if pair.image in content:
            labels.add(f"content {content[pair.image]}")
        joined = set().union(labels, *(unit_of.get(label, ()) for label in labels))
        unit_of |= dict.fromkeys(joined, joined)
    units: dict[int, list[ScenePair]] = {}
    for pair in pairs:
        area = pair.id if field is None else pair.fields[field]
        units.setdefault(id(unit_of[f"area {area}"]), []).append(pair)
    return map(tuple, units.values())


def _rank(unit: _Unit) -> bytes:
    """Return a sort key for a random order of units that is the same on every machine."""
    return hashlib.sha256(min(pair.id for pair in unit).encode()).digest()


def _leave_out(members: dict[SplitName, list[ScenePair]], content: Mapping[str, str]) -> int:
    """Remove pairs from `members` whose image has a copy in a later split; return their number."""
    later: set[str] = set()
    count = 0
    for split in reversed(list(members)):
        kept = [pair for pair in members[split] if content.get(pair.image) not in later]
        count += len(members[split]) - len(kept)
        members[split] = kept
        later |= {content[pair.image] for pair in kept if pair.image in content}
    return count


def _spec(
    field: str | None, pairs: Sequence[ScenePair], everything: Sequence[ScenePair]
) -> SplitSpec:
    """Return a rule for these pairs: by the field's values, else by names, else a list."""
    if field is not None:
        areas = dict.fromkeys(pair.fields[field] for pair in pairs)
        if sum(pair.fields[field] in areas for pair in everything) == len(pairs):
            return SplitSpec(where={field: tuple(areas)})
    names = [pair.fields.get("name") for pair in everything]
    if None not in names and len(set(names)) == len(names):
        return SplitSpec(where={"name": tuple(pair.fields["name"] for pair in pairs)})
    return SplitSpec(scenes=tuple(pair.id for pair in pairs))
