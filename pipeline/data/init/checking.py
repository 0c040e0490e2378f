"""Check a draft before it is written, so that `data check` accepts the manifest."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.data.check import check_data
from pipeline.data.init.drafting import Draft, with_splits
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.check import DatasetCheck
from rsmtdf_core.scenes.find import find_pairs
from rsmtdf_core.scenes.guessing import part_copies
from rsmtdf_core.scenes.members import split_pairs
from rsmtdf_core.scenes.problems import Problem, grouped
from rsmtdf_core.words import counted

_MOST = 3  # problems of a kind in the message


def checked_draft(proposal: Draft, reporter: Reporter | None = None) -> tuple[Draft, DatasetCheck]:
    """Return a draft that `data check` accepts, and the result of the check.

    Every image is decoded, as in `data check`, because only pixels show that two splits share an image. If some do,
    the splits are changed (see `part_copies`), the reporter warns, and the dataset is checked again.

    Raises:
        DataError: If files have problems; the message names them.
        MissingFileError: If there is no image to check.
    """
    root, reporter = proposal.looked.root, reporter or Silent()
    result = check_data(proposal.manifest, root, reporter=reporter)
    shared = [problem for problem in result.problems if problem.kind == "duplicate"]
    if shared and len(shared) == len(result.problems):
        members = split_pairs(proposal.manifest, find_pairs(proposal.manifest, root))
        proposal = with_splits(proposal, part_copies(proposal.splits, members, result.copies))
        result = check_data(proposal.manifest, root, reporter=reporter)
        _warn(shared, proposal, result, reporter)
    _require_no_problem(result, root)
    return proposal, result


def _warn(
    shared: Sequence[Problem], proposal: Draft, result: DatasetCheck, reporter: Reporter
) -> None:
    sizes = ", ".join(f"{split.name} {counted(split.scenes, 'scene')}" for split in result.splits)
    reporter.warn(
        f"{counted(len(shared), 'image')} would be in two splits and inflate the scores, the first is "
        f"{shared[0].file}: {shared[0].what}. The splits are changed: {proposal.splits.why} ({sizes})"
    )


def _require_no_problem(result: DatasetCheck, root: Path) -> None:
    """Refuse a dataset with problems, listed by kind."""
    if not result.problems:
        return
    lines = [
        f"{counted(len(result.problems), 'problem')} with the dataset, so no manifest is written"
    ]
    for problem, more in grouped(result.problems, _MOST):
        lines.append(f"  {problem.file}: {problem.what}")
        lines += [f"  and {counted(more, 'more file')} of this kind"] if more else []
    lines += [f"  hint: {hint}" for hint in result.hints]
    raise DataError(
        "\n".join(lines),
        where=root,
        remedy="correct these files or move them out of the folder; or write a manifest by hand "
        "(rsmtdf data copy folder mine.yaml) whose splits leave them out",
    )
