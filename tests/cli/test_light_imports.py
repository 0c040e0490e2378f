"""Commands that only print text load none of the large libraries, so they answer at once."""

import json
import subprocess
import sys
from pathlib import Path

from tests.caches import make_store
from tests.pipeline.conftest import config_file, make_config, scenes  # noqa: F401 - fixtures
from tests.pipeline.runs.written import write_run

ROOT = Path(__file__).resolve().parents[2]

# All commands run in one process, because starting an interpreter takes longer than they do.
SCRIPT = """
import json, sys
from typer.testing import CliRunner
from cli.main import app

for words, unwanted in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    loaded = {name.partition(".")[0] for name in sys.modules} & set(unwanted)
    assert not loaded, (words, loaded)
"""
LARGE = (
    "torch",
    "torchvision",
    "timm",
    "open_clip",
    "matplotlib",
    "pandas",
    "scipy",
    "dask",
    "distributed",
)
# Help texts need no library of numbers or configs either.
NUMERIC = ("numpy", "PIL", "rasterio", "zarr", "yaml")
VERBS = (
    *(
        "extract-features",
        "train",
        "evaluate",
        "predict",
        "probe",
        "runs",
        "compare",
        "report",
        "export",
    ),
    *("suggest", "search", "demo", "cache", "config", "data"),
)


def test_light_commands_load_no_large_library(tmp_path, make_config):  # noqa: F811
    write_run(tmp_path / "runs" / "a", make_config(), (0.5,), status="finished")
    make_store(tmp_path / "cache")
    cache = ("--cache", str(tmp_path / "cache"))
    # Commands that may load more come last.
    commands = [
        *((words, LARGE + NUMERIC) for words in (["--help"], ["--version"])),
        *(([verb, "--help"], LARGE + NUMERIC) for verb in VERBS),
        (["cache", "ls", *cache], LARGE),
        (["cache", "du", *cache], LARGE),
        (["config", "list"], LARGE),
        (["config", "show", "folder"], LARGE),
        (["config", "explain", "optimiser.lr"], LARGE),
        (["config", "kinds"], LARGE),
        (["config", "copy", "folder", str(tmp_path / "mine.yaml")], LARGE),
        (["data", "list"], LARGE),
        (["runs", str(tmp_path / "runs")], LARGE),
    ]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
