"""On which data: the scored scenes, the scenes of the training, and whether they show the same areas."""

from collections.abc import Iterator

from pipeline.labeled import labeled_rule
from pipeline.origin import begun_from
from pipeline.runs.report.answers.answer import Answer, meters
from pipeline.runs.report.data import PageData
from pipeline.runs.report.ground import Ground
from rsmtdf_core.charts.confusion import short_count
from rsmtdf_core.words import counted

_QUESTION = "On which data?"


def data(page: PageData) -> Answer:
    """Answer for the scored scenes, which all groups share unless a warning says otherwise."""
    report = page.reports[0]
    scenes = counted(report.images, f"{page.split} scene")
    area = page.ground.area if page.ground else None
    pixels = short_count(int(report.matrix.sum()))
    where = "" if area is None else f", {area / 1e6:,.3g} km\N{SUPERSCRIPT TWO}"
    scored = f"The scores are those of {scenes} of {page.comparison.dataset}{where}, with {pixels} labeled pixels."
    return Answer(_QUESTION, scenes + where, (scored, *_training(page), *_separation(page)))


def _training(page: PageData) -> Iterator[str]:
    records = [group.runs[0].record for group in page.groups]
    rules = {
        labeled_rule(record.config, record.manifest)
        for record in records
        if not record.folder.imported
    }
    if not rules:
        return
    rule = rules.pop() if len(rules) == 1 else "the groups differ in their labeled scenes"
    if page.ground:
        yield f"The training split has {counted(page.ground.training, 'scene')}."
    yield f"Labels: {rule}."


def _distance(ground: Ground, split: str, scenes: int) -> Iterator[str]:
    """Say how near the scored scenes are to training scenes on the ground."""
    if ground.overlapping:
        yield (
            f"By their georeference, {ground.overlapping:,} of {counted(scenes, f'{split} scene')} overlap a training "
            "scene, which inflates the scores."
        )
    elif ground.distance is not None:
        yield (
            f"By their georeference, no {split} scene overlaps a training scene; the smallest distance is "
            f"{meters(ground.distance)}."
        )


def _separation(page: PageData) -> Iterator[str]:
    """Say whether training scenes show the scored areas, as far as the manifest or the files know."""
    ground, split = page.ground, page.split
    yield from dict.fromkeys(
        f"{begun[:1].upper()}{begun[1:]}."
        for group in page.groups
        for run in group.runs
        if (begun := begun_from(run.record.folder)) is not None
    )
    if page.imported:
        # The notes of an import describe its training data, which the manifest does not know.
        for note in page.reports[0].notes[: 3 if page.imported[0].folder.splits.exists() else 2]:
            yield f"{note[:1].upper()}{note[1:]}."
        return
    if ground is None:
        yield "The images are not at hand, so the page does not compare the areas of the splits."
    elif ground.blocks:
        yield f"The areas are separate: the {split} split is drawn by {ground.blocks}."
    elif ground.shared:
        yield (
            f"The areas are not separate: {ground.shared:,} of {counted(page.reports[0].images, f'{split} scene')} "
            "share their tile or image with a training scene, which inflates the scores."
        )
    elif ground.tiles:
        yield f"The areas are separate: no {split} scene shares its tile or image with a training scene."
    if ground is not None and ground.distance is not None:
        yield from _distance(ground, split, page.reports[0].images)
    elif ground is not None and not ground.shared and not ground.tiles:
        yield (
            f"No {split} image is a training image. The manifest does not name their tiles (key parent), so "
            "neighboring images may be in both splits."
        )
