"""The cost of a training step in several arms: ratios within one run.

    python tests/benchmarks/bench_training.py
    python tests/benchmarks/bench_training.py --device cuda --batch 8 --precision bf16 --compile --peak-tflops 989

A ViT-S/14 student at 518 px; teachers of the shapes of DINOv2-B and CLIP-L with random weights. Each arm is a process
of its own that trains a step on request; three or four of them take turns. Cached tokens are smooth random
maps. Without a GPU it takes a quarter of an hour, 18 GB of memory and 2 GB for temporary files.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from made_up import SHAPES, made_up_features, make_store
from timing import Line, alternate, table
from torch.utils.flop_counter import FlopCounterMode

from pipeline.config import ExperimentConfig, load_config
from pipeline.demo.scenes import draw_scenes
from pipeline.extract.run import extract
from pipeline.pixel_store import find_pixels
from pipeline.plan import plan_experiment
from pipeline.train.features import Features, find_features
from pipeline.train.setup import make_accelerator, make_training
from rsmtdf_core.runs.checkpoint import save_checkpoint
from rsmtdf_core.training.clock import StepClock
from rsmtdf_core.training.loop import Training

CODECS = ("fp16", "int8", "transform")
ROUNDS = 3
BATCH_ROUNDS, BATCHES = 5, 12

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
# Arms that take turns: as many as a common machine's memory holds, and both of every ratio.
SETS = (
    ("cached", "online", "fixmatch"),
    ("fixmatch", "shared", "unimatch-v2"),
    ("cached", "cached bf16", "bare encoder", "bare encoder bf16"),
    ("cached", "int8", "transform"),
    ("cached", "distill"),
)
# The published code's own step over the bare encoder passes of its student, both on two CPU cores: 65 s / 12 s.
OFFICIAL = 65 / 12
OFFICIAL_BF16 = 65 / 8


def main() -> None:
    """Measure and print a Markdown table; with `--arm`, train steps of that arm on request."""
    options = parser().parse_args()
    if options.arm:
        serve(Path(options.root), options)
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), options)
        lines = measure_steps(Path(folder), options)
        lines += measure_products(torch.device(options.device))
        lines += measure_pixels(config_of(Path(folder), options, FIXMATCH))
    sys.stdout.write(table(lines))


def parser() -> argparse.ArgumentParser:
    """The script's options."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options.add_argument(
        "--batch", type=int, default=2, help="labeled crops, and as many unlabeled"
    )
    options.add_argument("--precision", default="fp32", help="of arms that do not set their own")
    options.add_argument("--compile", action="store_true")
    options.add_argument(
        "--peak-tflops", type=float, default=0.0, help="of the device, for its use"
    )
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--arm", default="", help=argparse.SUPPRESS)
    options.add_argument("--root", default="", help=argparse.SUPPRESS)
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


def prepare(root: Path, options: argparse.Namespace) -> None:
    """Scenes, a store of made-up tokens for each teacher and codec, and the views' pixels."""
    draw_scenes(root / "scenes", max(12, 4 * options.batch), 640, seed=0)
    (root / "bench.yaml").write_text(CONFIG.replace("ROOT", str(root)))
    config = config_of(root, options, ())
    extract(config.model_copy(update={"teachers": ()}))
    experiment = plan_experiment(config)
    for codec in CODECS:
        for shape in SHAPES.values():
            make_store(experiment, shape, codec)


def serve(root: Path, options: argparse.Namespace) -> None:
    """Be an arm: one step for each line of standard input, answered by a line of JSON."""
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

    training.finite.update = timed  # type: ignore[method-assign]
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
        words = [sys.executable, __file__, "--arm", name, "--root", str(root)]
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


def take_turns(names: tuple[str, ...], root: Path, options: argparse.Namespace) -> dict[str, Arm]:
    """Let some arms train steps one after another, in an order that changes."""
    arms = {name: Arm(name, root, options) for name in names}
    for arm in arms.values():
        arm.step()
    order = np.random.default_rng(0)
    for _ in range(options.rounds):
        for name in order.permutation(list(arms)).tolist():
            arms[name].step()
    for arm in arms.values():
        arm.close()
    return arms


def measure_steps(root: Path, options: argparse.Namespace) -> list[Line]:
    """Ratios between the steps of arms that took turns."""
    sets = [take_turns(names, root, options) for names in SETS]
    cached, online, bf16 = sets[0]["cached"], sets[0]["online"], sets[2]["cached bf16"]

    def ratio(name: str, other: str) -> float:
        arms = next(arm_set for arm_set in sets if name in arm_set and other in arm_set)
        return arms[name].seconds / arms[other].seconds

    bare = ratio("cached", "bare encoder")
    bare_bf16 = ratio("cached bf16", "bare encoder bf16")
    lines: list[Line] = [
        ("step, rs-mtdf cached / teachers online", ratio("cached", "online"), "<=0.55"),
        ("step, rs-mtdf cached / fixmatch", ratio("cached", "fixmatch"), "<=1.25"),
        ("the same, one encoder pass (shared)", ratio("shared", "fixmatch"), "<=1.08"),
        ("views/s, distill / rs-mtdf cached", ratio("cached", "distill"), ">=3"),
        ("step, unimatch-v2 / fixmatch", ratio("unimatch-v2", "fixmatch"), ""),
        ("step, bf16 / fp32", ratio("cached bf16", "cached"), "<=0.75"),
        ("step with the finite check / without", with_check(cached), "<=1.01"),
        ("the same in bf16", with_check(bf16), "<=1.01"),
        ("the same of fixmatch", with_check(sets[0]["fixmatch"]), "<=1.01"),
        ("step / bare encoder passes", bare, ""),
        ("share of the published code's step, by way of those", bare / OFFICIAL, "<=0.27"),
        ("the same, both in bf16", bare_bf16, ""),
        ("its share of the published code's fp32 step", bare_bf16 / OFFICIAL_BF16, "<=0.18"),
        ("step, int8 / fp16 tokens", ratio("int8", "cached"), ""),
        ("step, transform / fp16 tokens", ratio("transform", "cached"), "<=1.05"),
        ("share spent waiting for data", cached.phase("data") / cached.seconds, "<=0.03"),
        ("the same in bf16", bf16.phase("data") / bf16.seconds, "<=0.03"),
        ("checkpoint bytes / 16 x parameters", cached.answers[0]["checkpoint"], "<=1.1"),
        ("peak memory, cached / online", cached.peak / online.peak, ""),
        ("peak memory, cached, GB", cached.peak / 1e9, ""),
        ("samples/s, cached", 2 * options.batch / cached.seconds, ""),
        ("samples/s, cached bf16", 2 * options.batch / bf16.seconds, ""),
    ]
    lines += [
        (f"share of a step: {phase}", cached.phase(phase) / cached.seconds, "")
        for phase in ("ema", "student", "loss", "backward", "optimiser")
    ]
    operations = cached.answers[0]["operations"] / cached.seconds / 1e12
    lines.append(("TFLOP/s, cached", operations, ""))
    if options.peak_tflops:
        lines.append(("share of the device's peak", operations / options.peak_tflops, ""))
    return lines


def with_check(arm: Arm) -> float:
    """An arm's step over the same without the check of losses and gradients."""
    return arm.seconds / (arm.seconds - arm.phase("check"))


def measure_products(device: torch.device) -> list[Line]:
    """The gain of the processor itself from bf16: a product as a ViT-S block has it, for four crops."""
    arms = {}
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        left = torch.randn(5480, 384, device=device, dtype=dtype)
        arms[name] = partial(products, left, torch.randn(384, 1536, device=device, dtype=dtype))
    for arm in arms.values():
        arm()
    times = alternate(arms, BATCH_ROUNDS)
    return [("one matrix product, bf16 / fp32", times["bf16"] / times["fp32"], "")]


def products(left: torch.Tensor, right: torch.Tensor) -> None:
    """The same product again and again, to the end."""
    for _ in range(BATCHES):
        left @ right
    if left.device.type == "cuda":
        torch.cuda.synchronize()


def measure_pixels(config: ExperimentConfig) -> list[Line]:
    """How many times faster batches come from the cache than from one rendering process."""
    with ExitStack() as opened:
        arms = {}
        for name, cached in (("rendered", False), ("cached", True)):
            runtime = config.runtime.model_copy(update={"cache_pixels": cached})
            arm = config.model_copy(update={"runtime": runtime})
            experiment, accelerator = plan_experiment(arm), make_accelerator(arm)
            features = find_features(experiment, accelerator.device)
            training = make_training(experiment, features, accelerator)
            arms[name] = opened.enter_context(training.pixels.opened(0, training.total_steps))

        def batches(name: str) -> None:
            for _ in range(BATCHES):
                next(arms[name])

        for name in arms:
            batches(name)
        times = alternate({name: lambda name=name: batches(name) for name in arms}, BATCH_ROUNDS)
    return [("samples a second, pixels cached / rendered", times["rendered"] / times["cached"], "")]


if __name__ == "__main__":
    main()
