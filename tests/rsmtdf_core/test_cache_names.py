"""The command that repairs a path of a cache names the nearest store or group around it."""

import shlex
from pathlib import Path

import pytest

from rsmtdf_core.cache_names import repair_command, repair_of, set_aside_command

GROUP = Path("my cache/views-0123456789abcdef")
STORE = GROUP / "dino_s-0123456789ab-transform-0.99"


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        (STORE / "c" / "0" / "0", STORE),
        (STORE, STORE),
        (GROUP / "views.npy", GROUP),
        (GROUP, GROUP),
        (GROUP / "Dino-0123456789ab-fp16" / "commit.json", GROUP),
        (GROUP / "dino-0123456789-fp16", GROUP),
    ],
)
def test_a_path_in_a_cache_belongs_to_the_nearest_store_or_group(path, folder):
    assert repair_of(path) == repair_command(folder)


@pytest.mark.parametrize(
    "path", ["runs/a/run.json", "my cache", "views-0123", "views-0123456789abcdefg/x", "."]
)
def test_a_path_outside_a_cache_has_no_such_command(path):
    assert repair_of(Path(path)) is None


def test_commands_quote_names_for_a_shell():
    assert shlex.split(repair_command(STORE)) == ["rsmtdf", "cache", "repair", str(STORE)]
    assert shlex.split(set_aside_command(STORE)) == [
        *("rsmtdf", "cache", "repair", "--set-aside"),
        str(STORE),
    ]
