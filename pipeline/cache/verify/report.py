"""The report of `verify`: each check is one sentence, and a failed one names the file and the remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.settings import Settings

CheckName = Literal[
    "structure",
    "checksums",
    "replay",
    "masks",
    "drawing",
    "probe",
    "features",
    "alignment",
]
CheckStatus = Literal["ok", "failed", "skipped"]
Depth = Literal["quick", "normal", "deep"]
"""The extent of the checks: quick reads only a few records; deep renders every view again."""


class Check(Settings):
    """One check of one store.

    Attributes:
        name: the check's name.
        status: "skipped" if the check was not possible.
        sentence: the result with numbers, or the reason of a skipped check.
        where: the file at fault; empty if there is none.
        remedy: how to fix it; empty if there is no remedy.
    """

    name: CheckName
    status: CheckStatus
    sentence: str
    where: str = ""
    remedy: str = ""


class StoreChecks(Settings):
    """All checks of one store.

    Attributes:
        store: `<group>/<store>`.
        checks: the checks, in order.
    """

    store: str
    checks: tuple[Check, ...]


class VerifyReport(Settings):
    """The report of verifying a cache.

    Attributes:
        cache: the cache's folder.
        stores: the checks of each store.
        seconds: wall time.
    """

    cache: Path
    stores: tuple[StoreChecks, ...]
    seconds: float

    @property
    def failed(self) -> int:
        """Number of failed checks."""
        return sum(check.status == "failed" for store in self.stores for check in store.checks)


class SkippedError(Exception):
    """A check is not possible for the given reason; the store is not at fault."""


def run_check(name: CheckName, check: Callable[[], str]) -> Check:
    """Run a check that returns a sentence, or raises a failure or `SkippedError`."""
    try:
        return Check(name=name, status="ok", sentence=check())
    except SkippedError as reason:
        return Check(name=name, status="skipped", sentence=str(reason))
    except RsmtdfError as wrong:
        return Check(
            name=name,
            status="failed",
            sentence=wrong.what,
            where=wrong.where or "",
            remedy=wrong.remedy or "",
        )
    except OSError as wrong:
        return Check(
            name=name,
            status="failed",
            sentence=f"a file cannot be read: {wrong.strerror}",
            where=str(wrong.filename or ""),
            remedy="correct its permissions or check its disk",
        )
