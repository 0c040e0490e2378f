"""Names of files and folders in a cache, and the command that repairs what a path in it belongs to."""

import re
import shlex
from pathlib import Path

COMMIT = "commit.json"
LEDGER = "ledger.jsonl"
GROUP_NAME = re.compile(r"views-[0-9a-f]{16}")
STORE_NAME = re.compile(
    r"(?P<teacher>[a-z][a-z0-9_]*)-(?P<identity>[0-9a-f]{12})-(?P<codec>[a-z0-9][a-z0-9.-]*)"
)


def repair_command(folder: Path) -> str:
    """The command that repairs a store, a group of views or a cache."""
    return f"rsmtdf cache repair {shlex.quote(str(folder))}"


def set_aside_command(store: Path) -> str:
    """The command that moves a whole store out of the way, for an extraction to make it again."""
    return f"rsmtdf cache repair --set-aside {shlex.quote(str(store))}"


def repair_of(path: Path) -> str | None:
    """The command that repairs the store or group that a path belongs to, None if it is in neither."""
    for folder in (path, *path.parents):
        if STORE_NAME.fullmatch(folder.name) or GROUP_NAME.fullmatch(folder.name):
            return repair_command(folder)
    return None
