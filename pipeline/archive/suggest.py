"""The suggest verb: the scenes to label next, which cover the cached tokens of all scenes best."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.archive.archive import open_config, select_teachers
from pipeline.archive.centers import k_center
from pipeline.archive.vectors import on_one_scale, scene_vectors, view_vectors
from pipeline.config import ExperimentConfig
from pipeline.plan import Experiment, plan_experiment
from pipeline.reporter import Reporter, Silent
from pipeline.suggestions import SHEET, Suggestion, write_suggestions
from rsmtdf_core.arrays import Doubles, Rows
from rsmtdf_core.charts.contact import MOST_CELLS, Cell, contact_sheet
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.settings import Settings
from rsmtdf_core.words import counted, one_line

OUT = Path("suggestions")


class SuggestReport(Settings):
    """The scenes to label next.

    Attributes:
        scenes: the scenes, best first.
        teachers: the teachers whose tokens were compared.
        labeled: number of labeled scenes.
        candidates: number of scenes without a label.
        random_teachers: teachers with random weights, whose distances have little meaning.
        cautions: warnings about the files of the scenes.
        folder: folder of suggestions.csv and suggestions.png; None if none were written.
    """

    scenes: tuple[Suggestion, ...]
    teachers: tuple[str, ...]
    labeled: int
    candidates: int
    random_teachers: tuple[str, ...]
    cautions: tuple[str, ...]
    folder: Path | None


def suggest(
    config: ExperimentConfig,
    count: int,
    out: Path | None = OUT,
    teachers: Sequence[str] | None = None,
    reporter: Reporter | None = None,
) -> SuggestReport:
    """Suggest training scenes to label next, by k-centre greedy over the scenes' mean tokens.

    Each scene in turn is the one farthest from all labeled and suggested scenes (Sener and Savarese, ICLR 2018), so
    that the labels soon cover all kinds of scenes. No teacher is loaded and no number is drawn.

    Args:
        config: config whose tokens are in the cache.
        count: number of scenes.
        out: folder for a CSV file and a contact sheet; None writes no files.
        teachers: names of the teachers to use; None uses those that the method distills, or all.
        reporter: shows progress.

    Raises:
        ConfigError: If the config has no teachers, or lacks a named one.
        DataError: If all scenes are labeled.
        StoreError: If the cache does not contain the tokens.
    """
    reporter = reporter or Silent()
    chosen = select_teachers(config, teachers)
    experiment = plan_experiment(config)
    plan = experiment.plan
    if not plan.unlabeled_scenes:
        raise DataError(
            f"all {counted(len(plan.scenes), 'training scene')} are labeled",
            where=f"manifest {experiment.dataset.manifest.name}",
            remedy="add images without masks to the training split, then rsmtdf extract-features CONFIG",
        )
    vectors, random = [], []
    for teacher in chosen:
        archive = open_config(experiment, teacher)
        means, counts = view_vectors(archive.reader, archive.table, archive.settings, reporter)
        _require_tokens(experiment, archive.scene_of, counts)
        by_scene = scene_vectors(means, counts, archive.scene_of, len(plan.scenes))
        vectors.append(on_one_scale(by_scene))
        random += [teacher.name] if archive.random_weights else []
    scenes = _ranked(experiment, np.concatenate(vectors, axis=1), count)
    if out is not None:
        write_suggestions(out, scenes)
        _write_sheet(out / SHEET, scenes, experiment, random)
    return SuggestReport(
        scenes=scenes,
        teachers=tuple(teacher.name for teacher in chosen),
        labeled=len(plan.labeled_scenes),
        candidates=len(plan.unlabeled_scenes),
        random_teachers=tuple(random),
        cautions=experiment.cautions,
        folder=out,
    )


def _require_tokens(experiment: Experiment, scenes: Rows, counts: Rows) -> None:
    """Refuse scenes without tokens, which would all be at the same point.

    Raises:
        DataError: If there are any, such as labeled scenes whose views are fresh.
    """
    plan = experiment.plan
    totals = np.bincount(scenes, counts, len(plan.scenes))
    if lacking := [scene.id for scene, total in zip(plan.scenes, totals, strict=True) if not total]:
        raise DataError(
            f"{len(lacking)} of {counted(len(plan.scenes), 'training scene')} have no cached tokens, the first is "
            f"{lacking[0]}",
            where="views",
            remedy="cache views of all scenes: --set views.labeled_views=1 --set views.unlabeled_views=1, with "
            "extract-features and with suggest",
        )


def _ranked(experiment: Experiment, points: Doubles, count: int) -> tuple[Suggestion, ...]:
    plan = experiment.plan
    centers = k_center(points, plan.labeled_scenes, plan.unlabeled_scenes, count)
    return tuple(
        Suggestion(
            rank=rank,
            scene=plan.scenes[center.point].id,
            image=plan.scenes[center.point].image,
            has_mask=plan.scenes[center.point].mask is not None,
            distance=center.distance,
            nearest=plan.scenes[center.nearest].id,
        )
        for rank, center in enumerate(centers, 1)
    )


def _write_sheet(
    path: Path, scenes: Sequence[Suggestion], experiment: Experiment, random: Sequence[str]
) -> None:
    reader = SceneReader(experiment.dataset)
    by_id = {scene.id: scene for scene in experiment.plan.scenes}
    cells = [
        Cell(
            f"{scene.rank}  {one_line(scene.scene)}",
            f"distance {scene.distance:.2f}",
            reader.picture(by_id[scene.scene]),
        )
        for scene in scenes[:MOST_CELLS]
    ]
    warning = " (teachers with RANDOM WEIGHTS)" if random else ""
    title = f"{counted(len(scenes), 'scene')} to label next{warning}"
    note = "farthest first from the labeled scenes, by their mean tokens"
    if len(scenes) > MOST_CELLS:
        note += f"; the first {MOST_CELLS} of {len(scenes):,}"
    contact_sheet(path, title, note, cells)
