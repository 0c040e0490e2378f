"""The commit: the marker of a store's complete records, written last."""

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
    """The complete records of a store.

    Attributes:
        rows: length of the array at the commit.
        views: number of records.
        ledger_bytes: length of the committed part of the ledger.
        ledger_sha256: sha256 of this part.
        seconds: time spent on extraction, summed over all commits.
        certificate: the measurements of the stored features (JSON).
        parameters_sha256: digest of the parameters that encoded the records; empty in commits of earlier versions.
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
        """Return the commit of all entries of a ledger."""
        entries = ledger.entries.values()
        measured = [
            Fidelity.from_json(json.loads(entry.fidelity)) for entry in entries if entry.fidelity
        ]
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
    """Write the commit of a store atomically, after its copy."""
    document = FORMAT.sealed(asdict(commit))
    for path in (copy_of(store / COMMIT), store / COMMIT):
        write_json(path, document)


def read_commit(store: Path) -> Commit | None:
    """Read the commit of a store; return None if it was never committed.

    Raises:
        StoreDamagedError: If the commit is damaged.
    """
    path = store / COMMIT
    if not is_there(path):
        return None
    return read_commit_file(path)


def read_commit_file(path: Path) -> Commit:
    """Read the commit in a file.

    Raises:
        StoreDamagedError: If the file is missing or damaged.
    """
    document = FORMAT.unsealed(read_json(path, StoreDamagedError), path)
    names = [name for name in _FIELDS if name != _LATE or name in document]
    try:
        commit = Commit(**{name: document[name] for name in names})
    except KeyError as absent:
        raise damage(path, f"the commit has no {absent}") from None
    counts = commit.rows, commit.views, commit.ledger_bytes
    if (
        any(type(number) is not int or number < 0 for number in counts)
        or type(commit.seconds) not in (int, float)
        or not isinstance(commit.certificate, dict)
        or not isinstance(commit.parameters_sha256, str)
    ):
        raise damage(path, "a field of the commit has the wrong type")
    return commit
