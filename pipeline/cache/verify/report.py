"""What verifying says: a check is one sentence, and names file and remedy where it fails."""

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
"""How much is looked at: quick reads no records but a few; deep renders every view again."""


class Check(Settings):
    """One check of one store.

    Attributes:
        name: what was looked at.
        status: skipped where it could not be done.
        sentence: what was found, with numbers; of a skipped one the reason.
        where: the file at fault, empty for none.
        remedy: what mends it, empty for nothing.
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
        checks: in the order in which they were made.
    """

    store: str
    checks: tuple[Check, ...]


class VerifyReport(Settings):
    """What verifying a cache found.

    Attributes:
        cache: its folder.
        stores: the stores that were looked at.
        seconds: wall time.
    """

    cache: Path
    stores: tuple[StoreChecks, ...]
    seconds: float

    @property
    def failed(self) -> int:
        """How many checks failed."""
        return sum(one.status == "failed" for store in self.stores for one in store.checks)


class SkippedError(Exception):
    """A check cannot be made here, for the reason given; no fault of the store."""


def run_check(name: CheckName, check: Callable[[], str]) -> Check:
    """Make a check that returns a sentence, or raises what is wrong or `SkippedError`."""
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
