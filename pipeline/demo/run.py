"""The demo: both stages and the evaluation, on drawn or real scenes."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.config import load_config
from pipeline.demo.scenes import draw_scenes
from pipeline.evaluate.run import evaluate
from pipeline.extract.run import extract
from pipeline.reporter import Reporter
from pipeline.train.run import train
from rsmtdf_core.evaluation.report import EvaluationReport

DINO = "dinov2_vits14_lineage_fp16.safetensors"
LITE0 = "tf_efficientnet_lite0_fp16.safetensors"
SCENES = 40
SCENE_SIDE = 320


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The result of the demo.

    Attributes:
        report: the scores on the test split.
        folder: the folder of the report and its pictures.
        run: the run's folder.
    """

    report: EvaluationReport
    folder: Path
    run: Path


def run_demo(
    folder: Path, data: Path | None, weights: Path | None, reporter: Reporter
) -> DemoResult:
    """Draw scenes or use those in `data`, then extract, train and evaluate. All output goes to `folder`.

    Raises:
        MissingFileError, TeacherError: If `data` or `weights` lacks a file or has an invalid one.
    """
    overrides = [f"runtime.cache={folder / 'cache'}", f"runtime.runs={folder / 'runs'}"]
    if data is None or weights is None:
        root = folder / "scenes"
        reporter.say(f"drawing {SCENES} scenes into {root}")
        draw_scenes(root, SCENES, SCENE_SIDE, seed=0)
        overrides.append(f"data.root={root}")
        config = load_config("demo", overrides)
    else:
        overrides += [
            f"data.root={data}",
            f"teachers.dino.weights={weights / DINO}",
            f"teachers.lite0.weights={weights / LITE0}",
            f"student.weights={weights / LITE0}",
            "optimiser.epochs=5",
        ]
        config = load_config("dubai-small", overrides)
    extract(config, reporter=reporter)
    run = train(config, overwrite=True, reporter=reporter).run
    report, pictures = evaluate(run, reporter=reporter)
    return DemoResult(report, pictures, run)
