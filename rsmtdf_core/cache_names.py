"""Names of files and folders in a cache, and the commands that repair them."""

import re
import shlex
from pathlib import Path

COMMIT = "commit.json"
LEDGER = "ledger.jsonl"
MASKS = "masks.json"
GROUP_NAME = re.compile(r"views-[0-9a-f]{16}")
STORE_NAME = re.compile(
    r"(?P<teacher>[a-z][a-z0-9_]*)-(?P<identity>[0-9a-f]{12})-(?P<codec>[a-z0-9][a-z0-9.-]*)"
)


def repair_command(folder: Path) -> str:
    """Return the command that repairs a store, a group of views or a cache."""
    return f"rsmtdf cache repair {shlex.quote(str(folder))}"


def set_aside_command(store: Path) -> str:
    """Return the command that moves a whole store away, so that it can be extracted again."""
    return f"rsmtdf cache repair --set-aside {shlex.quote(str(store))}"


def repair_of(path: Path) -> str | None:
    """Return the command that repairs the store or group of a path, or None outside of both."""
    for folder in (path, *path.parents):
        if STORE_NAME.fullmatch(folder.name) or GROUP_NAME.fullmatch(folder.name):
            return repair_command(folder)
    return None
