"""Arms of bench_training.py: trainings that differ in one thing, each a process that trains a step on request."""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from made_up import SHAPES, made_up_features
from torch.utils.flop_counter import FlopCounterMode

from pipeline.config import ExperimentConfig, load_config
from pipeline.pixel_store import find_pixels
from pipeline.plan import plan_experiment
from pipeline.train.features import Features, find_features
from pipeline.train.setup import make_accelerator, make_training
from rsmtdf_core.runs.checkpoint import save_checkpoint
from rsmtdf_core.training.clock import StepClock
from rsmtdf_core.training.loop import Training

CONFIG = """
name: bench
data: {manifest: synthetic, root: ROOT/scenes, labeled: 1/2}
views: {crop: 518, unlabeled_views: 2, labeled_views: 2}
teachers:
  - {name: dino, family: timm, model: vit_base_patch14_dinov2, weights: random}
  - {name: clip, family: open_clip, model: ViT-L-14-quickgelu, weights: random, final_norm: false, input_size: 224}
student: {encoder: vit_small_patch14_dinov2, weights: random}
optimiser: {epochs: 1000}
runtime: {workers: 1, cache: ROOT/cache, cache_pixels: true}
"""

FIXMATCH = ("objective.method=fixmatch",)
# The changes of each arm, and the codec of its tokens.
ARMS: dict[str, tuple[tuple[str, ...], str]] = {
    "cached": ((), "fp16"),
    "int8": ((), "int8"),
    "transform": ((), "transform"),
    "shared": (("student.second_encoding=shared",), "fp16"),
    "online": (("objective.teachers=online",), ""),
    "fixmatch": (FIXMATCH, ""),
    "unimatch-v2": (("objective.method=unimatch-v2",), ""),
    # As many crops in a step as the student sees in one of rs-mtdf.
    "distill": (("objective.method=distill", "optimiser.batch=TWICE"), "fp16"),
    "cached bf16": (("runtime.precision=bf16",), "fp16"),
    "bare encoder": ((), ""),
    "bare encoder bf16": (("runtime.precision=bf16",), ""),
}


def parser(description: str) -> argparse.ArgumentParser:
    """The options of all arms."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options.add_argument(
        "--batch", type=int, default=2, help="labeled crops, and as many unlabeled"
    )
    options.add_argument("--precision", default="fp32", help="of arms that do not set their own")
    options.add_argument("--compile", action="store_true")
    return options


def config_of(
    root: Path, options: argparse.Namespace, overrides: tuple[str, ...]
) -> ExperimentConfig:
    """The config of an arm."""
    common = (
        f"runtime.device={options.device}",
        f"optimiser.batch={options.batch}",
        f"runtime.precision={options.precision}",
        f"runtime.compile={str(options.compile).lower()}",
    )
    overrides = tuple(key.replace("TWICE", str(2 * options.batch)) for key in overrides)
    return load_config(str(root / "bench.yaml"), [*common, *overrides])


def main() -> None:
    """Be an arm: one step for each line of standard input, answered by a line of JSON."""
    choices = parser(__doc__.splitlines()[0])
    choices.add_argument("arm", choices=ARMS)
    choices.add_argument("root", type=Path)
    options = choices.parse_args()
    root = options.root
    overrides, codec = ARMS[options.arm]
    config = config_of(root, options, overrides)
    with ExitStack() as opened:
        step = (
            bare_passes(config)
            if options.arm.startswith("bare")
            else training_steps(config, codec, root, opened)
        )
        for _ in sys.stdin:
            sys.stdout.write(json.dumps(next(step) | {"peak": peak_bytes(config)}) + "\n")
            sys.stdout.flush()


def peak_bytes(config: ExperimentConfig) -> int:
    """The most memory this process had, on the device that computes."""
    if config.runtime.device == "cuda":
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def training_steps(
    config: ExperimentConfig, codec: str, root: Path, opened: ExitStack
) -> Iterator[dict[str, float]]:
    """Steps of an arm, each with its seconds by phase; the first one's operations and checkpoint are measured too."""
    experiment = plan_experiment(config)
    accelerator = make_accelerator(config)
    features = (
        made_up_features(experiment, codec, accelerator.device)
        if codec
        else find_features(experiment, accelerator.device)
    )
    training = make_training(experiment, features, accelerator)
    extra = {"operations": operations_of(training)}
    checks = timed_checks(training)
    steps = training.steps()
    opened.callback(steps.close)
    first = next(steps)
    parameters = sum(parameter.numel() for parameter in training.student.parameters())
    checkpoint = save_checkpoint(
        root / f"{config.objective.method}-checkpoints",
        training.student,
        training.ema,
        training.optimiser,
        {"step": 1},
    )
    size = sum(file.stat().st_size for file in checkpoint.iterdir())
    extra["checkpoint"] = size / (16 * parameters)
    yield first.clock.seconds() | extra | {"check": checks.pop().seconds()["step"]}
    for record in steps:
        yield record.clock.seconds() | {"check": checks.pop().seconds()["step"]}


def timed_checks(training: Training) -> list[StepClock]:
    """A list that gets a clock for each step's check of losses and gradients.

    Two arms that differ by the check alone would differ more by chance.
    """
    clocks: list[StepClock] = []
    update = training.finite.update

    def timed(*arguments: Any, **options: Any) -> None:
        clocks.append(StepClock(training.accelerator.device))
        clocks[-1].begin("loss")
        update(*arguments, **options)
        clocks[-1].end()

    training.finite.update = timed  # type: ignore[method-assign] # of this instance alone
    return clocks


def operations_of(training: Training) -> float:
    """Floating-point operations of the models in one step: student forward and backward, EMA model forward."""
    batch, device = training.settings.batch, training.accelerator.device
    images = torch.randn(2 * batch, 3, 518, 518, device=device)
    with FlopCounterMode(display=False) as counter:
        with torch.no_grad():
            training.ema.logits(images[batch:])
        output = training.student(images)
        sum(
            [teacher_tokens.mean() for teacher_tokens in output.tokens.values()],
            output.logits.mean(),
        ).backward()
    training.optimiser.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())


def bare_passes(config: ExperimentConfig) -> Iterator[dict[str, float]]:
    """The encoder alone, without heads and losses: forward and backward of all crops at both sizes, EMA's forward."""
    experiment = plan_experiment(config)
    accelerator = make_accelerator(config)
    training = make_training(
        experiment, Features(tuple(SHAPES.values()), pixels=find_pixels(experiment)), accelerator
    )
    encoder, batch = training.student.encoder, config.optimiser.batch
    images = torch.randn(2 * batch, 3, 518, 518, device=accelerator.device)
    small = torch.randn(2 * batch, 3, 224, 224, device=accelerator.device)
    while True:
        started = time.perf_counter()
        with accelerator.autocast():
            with torch.no_grad():
                training.ema.encoder(images[batch:])
                training.ema.encoder(small[batch:])
            means = [encoder(images)[-1].float().mean(), encoder(small)[-1].float().mean()]
            torch.stack(means).sum().backward()
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize()
        yield {"step": time.perf_counter() - started}


class Arm:
    """A process that trains a step on request."""

    def __init__(self, name: str, root: Path, options: argparse.Namespace) -> None:
        words = [sys.executable, __file__, name, str(root)]
        for key in ("device", "batch", "precision"):
            words += [f"--{key}", str(getattr(options, key))]
        words += ["--compile"] if options.compile else []
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.answers: list[dict[str, float]] = []

    def step(self) -> float:
        """Train one step; its seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        self.answers.append(json.loads(self._process.stdout.readline()))
        return self.answers[-1]["step"]

    @property
    def seconds(self) -> float:
        """The median step without the first."""
        return self.phase("step")

    def phase(self, name: str) -> float:
        """The median seconds of a phase, without the first step."""
        return float(np.median([answer[name] for answer in self.answers[1:]]))

    @property
    def peak(self) -> float:
        """The most memory it had, in bytes."""
        return self.answers[-1]["peak"]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def take_turns(
    names: tuple[str, ...], root: Path, options: argparse.Namespace, rounds: int
) -> dict[str, Arm]:
    """Let some arms train steps one after another, in an order that changes."""
    arms = {name: Arm(name, root, options) for name in names}
    for arm in arms.values():
        arm.step()
    order = np.random.default_rng(0)
    for _ in range(rounds):
        for name in order.permutation(list(arms)).tolist():
            arms[name].step()
    for arm in arms.values():
        arm.close()
    return arms


if __name__ == "__main__":
    main()
