"""The commit marker: what a store promises to hold, written last of all."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rsmtdf_core.cache_names import COMMIT
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.files import read_json, write_json
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.store.copies import copy_of, is_there
from rsmtdf_core.store.fidelity import Fidelity
from rsmtdf_core.store.ledger import Ledger
from rsmtdf_core.store.shards import damage


@dataclass(frozen=True, slots=True)
class Commit:
    """What a store promises to hold.

    Attributes:
        rows: length of the array when it was committed.
        views: records in it.
        ledger_bytes: length of the part of the ledger that the promise rests on.
        ledger_sha256: sha256 of that part.
        seconds: time spent on extraction, all commits together.
        certificate: what extraction measured about the stored features (JSON).
        parameters_sha256: of the parameters that the records were made with; empty in commits of earlier versions.
    """

    rows: int
    views: int
    ledger_bytes: int
    ledger_sha256: str
    seconds: float
    certificate: dict[str, Any]
    parameters_sha256: str = ""

    @classmethod
    def of(cls, rows: int, ledger: Ledger, seconds: float, parameters_sha256: str = "") -> "Commit":
        """The promise of everything that a ledger lists."""
        entries = ledger.entries.values()
        measured = [Fidelity.from_json(json.loads(one.fidelity)) for one in entries if one.fidelity]
        return cls(
            rows=rows,
            views=sum(entry.records for entry in entries),
            ledger_bytes=len(ledger.content),
            ledger_sha256=hashlib.sha256(ledger.content).hexdigest(),
            seconds=seconds,
            certificate=Fidelity.merged(measured).certificate() if measured else {},
            parameters_sha256=parameters_sha256,
        )


FORMAT = FileFormat("commit")
_FIELDS = [field.name for field in fields(Commit)]
_LATE = "parameters_sha256"


def write_commit(store: Path, commit: Commit) -> None:
    """Commit the store at `store`, atomically; the commit comes last of all, after its copy."""
    document = FORMAT.sealed(asdict(commit))
    for path in (copy_of(store / COMMIT), store / COMMIT):
        write_json(path, document)


def read_commit(store: Path) -> Commit | None:
    """The commit of the store at `store`, None where it was never committed.

    Raises:
        StoreDamagedError: where it is not what was written.
    """
    path = store / COMMIT
    if not is_there(path):
        return None
    return read_commit_file(path)


def read_commit_file(path: Path) -> Commit:
    """The commit in a file.

    Raises:
        StoreDamagedError: where it is missing or not what was written.
    """
    own = FORMAT.unsealed(read_json(path, StoreDamagedError), path)
    try:
        commit = Commit(**{name: own[name] for name in _FIELDS if name != _LATE or name in own})
    except KeyError as absent:
        raise damage(path, f"the commit has no {absent}") from None
    counts = commit.rows, commit.views, commit.ledger_bytes
    if (
        any(type(number) is not int or number < 0 for number in counts)
        or type(commit.seconds) not in (int, float)
        or not isinstance(commit.certificate, dict)
        or not isinstance(commit.parameters_sha256, str)
    ):
        raise damage(path, "a field of the commit is not of its type")
    return commit
