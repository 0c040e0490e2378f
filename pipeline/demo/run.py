"""The demo: training from labels alone, then both stages, with scores and a report page, on drawn or real scenes."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import load_config
from pipeline.demo.scenes import draw_scenes
from pipeline.evaluate.run import evaluate
from pipeline.extract.run import extract
from pipeline.reporter import Reporter
from pipeline.runs.report.run import report as write_page
from pipeline.train.run import train
from rsmtdf_core.evaluation.report import EvaluationReport
from rsmtdf_core.files import atomic_file

DINO = "dinov2_vits14_lineage_fp16.safetensors"
LITE0 = "tf_efficientnet_lite0_fp16.safetensors"
SCENES = 40
SCENE_SIDE = 320
TEACHER = Path(__file__).with_name("teacher.safetensors")
"""Weights of timm's `test_resnet`, trained on other drawn scenes by docs/demo_teacher.py."""
# The same training without teachers.
_WITHOUT = ("objective.method=supervised", "objective.pretrain={}", "teachers=[]")


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The result of the demo.

    Attributes:
        report: the scores of the run with teachers on the test split.
        folder: the folder of that report and its pictures.
        run: the folder of the run with teachers.
        alone: the scores of the run from labels alone.
        page: the report page of both runs.
    """

    report: EvaluationReport
    folder: Path
    run: Path
    alone: EvaluationReport
    page: Path


def run_demo(
    folder: Path, data: Path | None, weights: Path | None, reporter: Reporter
) -> DemoResult:
    """Draw scenes or use those in `data`, then train without and with teachers. All output goes to `folder`.

    Raises:
        MissingFileError, TeacherError: If `data` or `weights` lacks a file or has an invalid one.
    """
    if data is None or weights is None:
        name, overrides = _drawn(folder, reporter)
    else:
        name, overrides = _real(data, weights)
    places = [f"runtime.cache={folder / 'cache'}", f"runtime.runs={folder / 'runs'}"]
    config = load_config(name, overrides + places)
    without = [*overrides, *places, *_WITHOUT, f"name={config.name}-labels"]
    reporter.say("1 of 2: training from the labeled scenes alone")
    baseline = train(load_config(name, without), overwrite=True, reporter=reporter).run
    alone, _ = evaluate(baseline, reporter=reporter)
    reporter.say("2 of 2: training with teachers")
    extract(config, reporter=reporter)
    run = train(config, overwrite=True, reporter=reporter).run
    report, pictures = evaluate(run, reporter=reporter)
    page = write_page([run, baseline], folder / "report.html", reporter=reporter)
    return DemoResult(report, pictures, run, alone, page.path)


def _drawn(folder: Path, reporter: Reporter) -> tuple[str, list[str]]:
    """Draw the scenes and copy the teacher to `folder`; return the config and its overrides."""
    root, teacher = folder / "scenes", folder / TEACHER.name
    reporter.say(f"drawing {SCENES} scenes into {root}")
    draw_scenes(root, SCENES, SCENE_SIDE, seed=0)
    with atomic_file(teacher) as file, TEACHER.open("rb") as packaged:
        shutil.copyfileobj(packaged, file)
    return "demo", [f"data.root={root}", f"teachers.teacher.weights={teacher}"]


def _real(data: Path, weights: Path) -> tuple[str, list[str]]:
    """Return the config for real scenes and weights, and its overrides."""
    return "dubai-small", [
        f"data.root={data}",
        f"teachers.dino.weights={weights / DINO}",
        f"teachers.lite0.weights={weights / LITE0}",
        f"student.weights={weights / LITE0}",
        "optimiser.epochs=5",
    ]
