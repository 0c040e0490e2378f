"""No manifest is written that `data check` would refuse."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.data.check import check_data
from pipeline.data.init.drafting import Draft, with_splits
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.check import DatasetCheck, Problem, grouped
from rsmtdf_core.scenes.find import find_pairs, split_pairs
from rsmtdf_core.scenes.guessing import part_copies
from rsmtdf_core.words import counted

_MOST = 3  # problems of a kind in the message


def checked_draft(made: Draft, reporter: Reporter | None = None) -> tuple[Draft, DatasetCheck]:
    """The draft as `data check` accepts it, and what the check saw.

    Every image is decoded, as `data check` does: whether two splits share an image shows in the pixels alone. If some
    do, the splits are changed (see `part_copies`), the reporter warns of it, and the dataset is checked again.

    Raises:
        DataError: names the files with problems.
        MissingFileError: nothing can be checked.
    """
    root, reporter = made.looked.root, reporter or Silent()
    result = check_data(made.manifest, root, reporter=reporter)
    shared = [problem for problem in result.problems if problem.kind == "duplicate"]
    if shared and len(shared) == len(result.problems):
        members = split_pairs(made.manifest, find_pairs(made.manifest, root))
        made = with_splits(made, part_copies(made.splits, members, result.copies))
        result = check_data(made.manifest, root, reporter=reporter)
        _warn(shared, made, result, reporter)
    _require_no_problem(result, root)
    return made, result


def _warn(shared: Sequence[Problem], made: Draft, result: DatasetCheck, reporter: Reporter) -> None:
    sizes = ", ".join(f"{split.name} {counted(split.scenes, 'scene')}" for split in result.splits)
    reporter.warn(
        f"{counted(len(shared), 'image')} would be in two splits and make scores too good, the first is "
        f"{shared[0].file}: {shared[0].what}. The splits are changed: {made.splits.why} ({sizes})"
    )


def _require_no_problem(result: DatasetCheck, root: Path) -> None:
    """Refuse a dataset with problems; those of one kind are named together."""
    if not result.problems:
        return
    lines = [
        f"{counted(len(result.problems), 'problem')} with the dataset, so no manifest is written"
    ]
    for problem, more in grouped(result.problems, _MOST):
        lines.append(f"  {problem.file}: {problem.what}")
        lines += [f"  and {counted(more, 'more file')} alike"] if more else []
    lines += [f"  hint: {hint}" for hint in result.hints]
    raise DataError(
        "\n".join(lines),
        where=root,
        remedy="put these files right or move them out of the folder; with a manifest written by hand "
        "(rsmtdf data copy folder mine.yaml) splits can be chosen so that they are left out",
    )
