"""`rsmtdf probe`: which teacher is worth caching, and what a run keeps of its teachers."""

import math
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import RichReporter, Text, err, out, percent, show_json, table
from cli.evaluate import Split
from cli.options import Cache, Checkpoint, Overrides
from rsmtdf_core.words import bytes_text

if TYPE_CHECKING:
    from pipeline.probe import ProbeReport
    from pipeline.probe.values import FeatureScore


def probe(
    source: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG|RUN", help="A config, as for `rsmtdf train`; or the folder of a run."
        ),
    ],
    overrides: Overrides = None,
    cache: Cache = None,
    views: Annotated[
        int,
        typer.Option(
            min=2, help="Maximum number of views: more take longer and narrow the intervals."
        ),
    ] = 64,
    scenes: Annotated[
        int | None, typer.Option(min=2, help="Maximum number of scenes.", show_default="all")
    ] = None,
    split: Annotated[
        Split | None,
        typer.Option(
            help="The split of the views; of train only labeled scenes are used.",
            show_default="train for a config, val for a run",
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Find out which teacher is worth caching, before extraction; or, for a run, what its student learned from them.

    A linear head is fitted on the tokens of each teacher, of each pair of teachers and on the student's features, and
    scored on scenes that it has not seen (cross-validation by scene). A teacher can help a student that knows less:
    its tokens should predict the classes better than the student's initial features do. Differences are means over
    folds, with a 95 % interval (±); a difference within it is not clear. Cached tokens are read, others are computed;
    no store is written.

    For a run, the trained student is compared with its initial weights and its teachers, by default on the validation
    scenes: probe score, explained variance of the teachers' tokens, and linear CKA (1 for features that are equal up to
    rotation and scale).
    """
    from pipeline.probe import open_source
    from pipeline.probe import probe as score_features

    config, run = open_source(source, overrides or [], cache, checkpoint)
    report = score_features(
        config,
        run,
        split=split.value if split else None,
        views=views,
        scenes=scenes,
        reporter=RichReporter(),
    )
    if json:
        show_json(report)
    else:
        show_probe(report)


def show_probe(report: "ProbeReport") -> None:
    """Print the scores, the similarities of a run, and the conclusion."""
    out.print(_scores_table(report))
    if report.kept:
        out.print(_kept_table(report))
    style = "bold yellow" if report.worth_caching == () else "bold green"
    for sentence in report.verdict:
        out.print(Text(sentence, style=style))
    for sentence in report.cautions:
        err.print(Text(f"note: {sentence}", style="dim"))


def _scores_table(report: "ProbeReport") -> Table:
    folds, scenes = len(report.folds), sum(map(len, report.folds))
    title = (
        f"linear probe: {report.views} views of {scenes} scenes ({report.split}), {folds} folds, "
        f"{report.grid[0]} x {report.grid[1]} cells, {report.seconds:.0f} s on {report.device}"
    )
    rows = table(
        title,
        "features",
        "mIoU",
        "of the folds",
        "points over the student",
        "a view",
        "record",
        f"all {report.plan_views} views",
    )
    kind = None
    for score in report.features:
        if kind is not None and kind != score.kind:
            rows.add_section()
        kind = score.kind
        rows.add_row(
            _name(score),
            percent(score.miou),
            _range(score),
            _over_student(score),
            _seconds(score),
            "" if score.bytes is None else bytes_text(score.bytes),
            _all_views(score, report.plan_views),
        )
    return rows


def _name(score: "FeatureScore") -> str:
    taught = score.kind in {"teacher", "pair"}
    return f"{score.name} (RANDOM WEIGHTS)" if taught and score.random_weights else score.name


def _range(score: "FeatureScore") -> str:
    known = [value for value in score.fold_miou if value is not None]
    return f"{100 * min(known):.1f} to {100 * max(known):.1f}"


def _over_student(score: "FeatureScore") -> str:
    if score.over_student is None or score.margin is None:
        return ""
    margin = "?" if math.isinf(score.margin) else f"{100 * score.margin:.1f}"
    return f"{100 * score.over_student:+.1f} ± {margin}"


def _seconds(score: "FeatureScore") -> str:
    if score.seconds is None:
        return "?"
    suffix = " (at extraction)" if score.origin == "cache" else ""
    return f"{1000 * score.seconds:.0f} ms{suffix}"


def _all_views(score: "FeatureScore", views: int) -> str:
    """Format the time and disk space of caching a teacher for the whole plan."""
    if score.bytes is None:
        return ""
    size = bytes_text(views * score.bytes)
    return size if score.seconds is None else f"{views * score.seconds:.0f} s, {size}"


def _kept_table(report: "ProbeReport") -> Table:
    rows = table(
        "similarity to the teachers' tokens", "student", "teacher", "explained variance %", "CKA"
    )
    for row in report.kept:
        name = "trained" if row.student == "trained student" else "initial"
        rows.add_row(name, row.teacher, percent(row.explained_variance), f"{row.cka:.3f}")
    return rows
