"""The demo: both stages and the scores, on scenes that are drawn on the spot or on real ones."""

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
    """What the demo made.

    Attributes:
        report: the scores on the test split.
        folder: the report's folder, with its pictures.
        run: the run's folder.
    """

    report: EvaluationReport
    folder: Path
    run: Path


def run_demo(
    folder: Path, data: Path | None, weights: Path | None, reporter: Reporter
) -> DemoResult:
    """Draw scenes (or take those in `data`), extract, train and evaluate; all below `folder`.

    Raises:
        MissingFileError, TeacherError: where `data` or `weights` is not what it should be.
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
