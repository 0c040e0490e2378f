"""No manifest is written that `data check` would refuse."""

from pathlib import Path

from pipeline.data.check import check_data
from pipeline.reporter import Reporter
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.check import DatasetCheck, grouped
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.words import counted

_MOST = 3  # problems of a kind in the message


def require_sound(manifest: Manifest, root: Path, reporter: Reporter | None = None) -> DatasetCheck:
    """Check the dataset against the manifest that was guessed for it.

    Every image is decoded, as `data check` does: whether two splits share an image shows in the pixels alone. Such
    images are no reason to write nothing, since the splits are only a proposal; the reporter warns of them.

    Raises:
        DataError: names the files with problems.
        MissingFileError: nothing can be checked.
    """
    result = check_data(manifest, root, reporter=reporter)
    shared = [problem for problem in result.problems if problem.kind == "duplicate"]
    problems = [problem for problem in result.problems if problem.kind != "duplicate"]
    if shared and reporter is not None:
        reporter.warn(
            f"{counted(len(shared), 'image')} in two splits, the first is {shared[0].file}: {shared[0].what}. Scores "
            "would be too good: remove the copies, or choose other splits in the manifest"
        )
    if not problems:
        return result
    lines = [f"{counted(len(problems), 'problem')} with the dataset, so no manifest is written"]
    for problem, more in grouped(problems, _MOST):
        lines.append(f"  {problem.file}: {problem.what}")
        lines += [f"  and {counted(more, 'more file')} alike"] if more else []
    lines += [f"  hint: {hint}" for hint in result.hints]
    raise DataError(
        "\n".join(lines),
        where=root,
        remedy="put these files right or move them out of the folder; with a manifest written by hand "
        "(rsmtdf data copy folder mine.yaml) splits can be chosen so that they are left out",
    )
