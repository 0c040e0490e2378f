"""Copies of one image in proposed splits: they go into one split, or scores would be of images learnt by heart.

Splits that were drawn by chance are drawn again, copies together. Folders that name splits stay as they are, but an
image of a later split is neither learnt from nor used to choose: its copies in earlier splits are left out.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.find import ScenePair
from rsmtdf_core.scenes.guessing.splits import SplitGuess
from rsmtdf_core.scenes.manifest import SplitName, SplitSpec
from rsmtdf_core.words import counted

_Members = Mapping[SplitName, Sequence[ScenePair]]
_Unit = tuple[ScenePair, ...]


def part_copies(
    guess: SplitGuess, members: _Members, copies: Sequence[Sequence[str]]
) -> SplitGuess:
    """The splits changed so that no two of them share an image.

    Args:
        guess: the proposed splits.
        members: the pairs of each of them.
        copies: groups of images with equal pixels, posix paths.

    Raises:
        DataError: a split that folders name holds nothing but copies of a later split's images.
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
    """Whether two of the splits have copies of one image."""
    groups = [
        {content[pair.image] for pair in pairs if pair.image in content}
        for pairs in members.values()
    ]
    return len(set().union(*groups)) < sum(map(len, groups))


def _drawn_again(
    guess: SplitGuess, members: _Members, content: Mapping[str, str]
) -> dict[SplitName, list[ScenePair]]:
    """The pairs of some splits, dealt out to them again in about their sizes; a split may get none.

    Units go to a split as a whole: an image with its copies, or areas that share an image. The smallest ones are
    scored, so that an image with many copies is learnt from. If some pairs have masks, none without one is scored.
    """
    pairs = [pair for split_pairs in members.values() for pair in split_pairs]
    learnt, *scored = members
    masked = any(pair.mask for pair in pairs)
    units = sorted(_units(guess.unit, pairs, content), key=lambda unit: (len(unit), _rank(unit)))
    waiting = [unit for unit in units if not masked or all(pair.mask for pair in unit)]
    dealt: dict[SplitName, list[ScenePair]] = {split: [] for split in members}
    for number, split in enumerate(reversed(scored), 1):
        # A unit for each split to come, the one to learn from included.
        reserved = len(scored) - number + (len(waiting) == len(units))
        while len(waiting) > reserved and len(dealt[split]) < len(members[split]):
            unit = waiting.pop(0)
            units.remove(unit)
            dealt[split] += unit
    dealt[learnt] = [pair for unit in units for pair in unit]
    return {split: sorted(chosen, key=lambda pair: pair.id) for split, chosen in dealt.items()}


def _units(
    field: str | None, pairs: Sequence[ScenePair], content: Mapping[str, str]
) -> Iterator[_Unit]:
    """Pairs that stay together: those of one value of the field, and those with equal images."""
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
    """The place of a unit in an order by chance that is the same everywhere."""
    return hashlib.sha256(min(pair.id for pair in unit).encode()).digest()


def _leave_out(members: dict[SplitName, list[ScenePair]], content: Mapping[str, str]) -> int:
    """Take the pairs out of `members` whose image has a copy in a later split; how many they are."""
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
    """The rule that takes these pairs: by the field's values, by names, or else a list."""
    if field is not None:
        areas = dict.fromkeys(pair.fields[field] for pair in pairs)
        if sum(pair.fields[field] in areas for pair in everything) == len(pairs):
            return SplitSpec(where={field: tuple(areas)})
    names = [pair.fields.get("name") for pair in everything]
    if None not in names and len(set(names)) == len(names):
        return SplitSpec(where={"name": tuple(pair.fields["name"] for pair in pairs)})
    return SplitSpec(scenes=tuple(pair.id for pair in pairs))
