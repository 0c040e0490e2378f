"""Collects the errors of a batch of files, so that a bad file does not stop the others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.reporter import Reporter
from rsmtdf_core.errors import DataError, IncompleteError, MissingFileError, RsmtdfError
from rsmtdf_core.scenes.images.source import Source
from rsmtdf_core.words import counted


class Failures:
    """Collects the errors of a batch of files.

    Args:
        reporter: warned of each error as it happens.
        noun: name of a file in messages, such as "image".
        total: number of files in the batch.
    """

    def __init__(self, reporter: Reporter, noun: str, total: int) -> None:
        self._reporter, self._noun, self._total = reporter, noun, total
        self._errors: dict[Source, RsmtdfError] = {}

    @contextmanager
    def of(self, source: Source) -> Iterator[None]:
        """Collect an error of the image `source`; other errors, such as a full disk, end the batch."""
        try:
            yield
        except (DataError, MissingFileError) as error:
            self._errors[source] = error
            if self._total > 1:
                self._reporter.warn(f"skipped {source}: {error.what}")

    def has(self, source: Source) -> bool:
        """Whether the image `source` had an error."""
        return source in self._errors

    def raise_if_all(self) -> None:
        """Raise if every file has failed.

        Raises:
            DataError, MissingFileError: If the batch has a single file.
            IncompleteError: If the batch has several files.
        """
        if len(self._errors) == self._total:
            self.raise_if_any([])

    def raise_if_any(self, written: Sequence[Path]) -> None:
        """Raise if any file has failed.

        Args:
            written: complete outputs of the other files.

        Raises:
            DataError, MissingFileError: If the batch has a single file.
            IncompleteError: If the batch has several files; lists each failed file with its error and remedy.
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
