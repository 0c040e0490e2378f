"""Work on many files of which some are bad: the others are completed, and the bad ones are named at the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.reporter import Reporter
from rsmtdf_core.errors import DataError, IncompleteError, MissingFileError, RsmtdfError
from rsmtdf_core.words import counted


class Failures:
    """The errors of a batch of files.

    Args:
        reporter: warned of each error as it happens.
        noun: what each file is.
        total: how many files there are.
    """

    def __init__(self, reporter: Reporter, noun: str, total: int) -> None:
        self._reporter, self._noun, self._total = reporter, noun, total
        self._errors: dict[Path, RsmtdfError] = {}

    @contextmanager
    def of(self, path: Path) -> Iterator[None]:
        """Keep an error that is the fault of the file `path`; others, such as a full disk, end the batch."""
        try:
            yield
        except (DataError, MissingFileError) as error:
            self._errors[path] = error
            if self._total > 1:
                self._reporter.warn(f"{path} is left out: {error.what}")

    def has(self, path: Path) -> bool:
        """Whether the file `path` had an error."""
        return path in self._errors

    def raise_if_all(self) -> None:
        """End a batch without a good file.

        Raises:
            DataError, MissingFileError: of the only file.
            IncompleteError: of several.
        """
        if len(self._errors) == self._total:
            self.raise_if_any([])

    def raise_if_any(self, written: Sequence[Path]) -> None:
        """End a batch in which some files are bad.

        Args:
            written: the complete files that the good ones became.

        Raises:
            DataError, MissingFileError: of the only file.
            IncompleteError: names each bad file with its error and remedy.
        """
        if not self._errors:
            return
        if self._total == 1:
            raise next(iter(self._errors.values()))
        outcome = "the others are complete" if written else "nothing was written"
        raise IncompleteError(
            f"{len(self._errors)} of {counted(self._total, self._noun)} failed; {outcome}",
            list(self._errors.values()),
            written,
        )
