"""Every file of a run, damaged in every way: the same result as undamaged, or a sentence that names the file."""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

import pipeline.evaluate.pictures
import pipeline.train.session
from pipeline.config import ExperimentConfig, load_config
from pipeline.demo.scenes import draw_scenes
from pipeline.evaluate.run import evaluate
from pipeline.exchange.export import export_run
from pipeline.predict import predict
from pipeline.reporter import Silent
from pipeline.train.initial import find_initial
from pipeline.train.run import train
from pipeline.trained import load_run
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.runs.checkpoint import checkpoints_in, load_checkpoint
from rsmtdf_core.runs.folder import open_run
from tests.reliability.test_training_kills import CONFIG

PAGE = 4096
GOOD = ("same", "warned", "refused")
QUICK = 24
MANY = 8
SETTINGS = ("objective.method=supervised", "optimiser.epochs=3", "runtime.keep_checkpoints=3")
# Folders of files that no result is read from.
OUTPUTS = ("tensorboard/", "evaluation/")
_PICTURES = (
    "panel_picture",
    "confusion_picture",
    "curves_picture",
    "legend_picture",
    "reliability_picture",
)


class Warned(Silent):
    def __init__(self) -> None:
        self.text = ""

    def warn(self, text: str) -> None:
        self.text += f"{text}\n"


class Killed(BaseException):
    pass


Damage = Callable[[Path, np.random.Generator], None]


def flip(path: Path, random: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    content[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
    path.write_bytes(content)


def zero_page(path: Path, random: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    start = PAGE * int(random.integers(-(-len(content) // PAGE)))
    content[start : start + PAGE] = bytes(len(content[start : start + PAGE]))
    path.write_bytes(content)


def truncate(path: Path, random: np.random.Generator) -> None:
    os.truncate(path, int(random.integers(path.stat().st_size)))


def empty(path: Path, _random: np.random.Generator) -> None:
    os.truncate(path, 0)


def delete(path: Path, _random: np.random.Generator) -> None:
    path.unlink()


def directory(path: Path, _random: np.random.Generator) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path, _random: np.random.Generator) -> None:
    path.unlink()
    os.mkfifo(path)


def dangling_link(path: Path, _random: np.random.Generator) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def link(path: Path, _random: np.random.Generator) -> None:
    moved = path.parent.parent / f"moved-{path.name}"
    path.rename(moved)
    path.symlink_to(moved)


KINDS: tuple[Damage, ...] = (
    *(flip, zero_page, truncate, empty, delete),
    *(directory, fifo, dangling_link, link),
)


@dataclass
class Room:
    """A run that ended and a run that was killed, and their results without damage."""

    config: ExperimentConfig
    image: Path
    folder: Path
    expected: dict[str, object] = field(default_factory=dict)

    @property
    def runs(self) -> list[Path]:
        return [self.folder / "ended", self.folder / "killed"]

    def files(self, run: Path) -> list[str]:
        return sorted(
            str(path.relative_to(run))
            for path in run.rglob("*")
            if path.is_file() and path.name != ".lock"
        )


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("room")
    draw_scenes(folder / "scenes", 14, 72, seed=3)
    text = CONFIG.replace("SCENES", str(folder / "scenes")).replace("CACHE", str(folder / "cache"))
    (folder / "tiny.yaml").write_text(text.replace("RUNS", str(folder / "runs")))
    config = load_config(str(folder / "tiny.yaml"), SETTINGS)
    prepared = Room(config, min((folder / "scenes" / "images").iterdir()), folder)
    ended, killed = prepared.runs
    with pytest.MonkeyPatch.context() as patch:
        for name in _PICTURES:
            patch.setattr(pipeline.evaluate.pictures, name, lambda *_args, **_words: None)
        train(config, ended)
        evaluate(ended)
        after = pipeline.train.session.Session._after

        def die(session, record):
            if record.step == 10:
                raise Killed
            after(session, record)

        with patch.context() as inner:
            inner.setattr(pipeline.train.session.Session, "_after", die)
            with pytest.raises(Killed):
                train(config, killed)
        evaluate(killed)
        for run in prepared.runs:
            prepared.expected[run.name] = scored(run, Warned())
            prepared.expected[f"{run.name} resumed"] = resumed(prepared, copied(run), Warned())
        yield prepared


def copied(run: Path) -> Path:
    """A copy to do harm to."""
    copy = run.parent / "harmed" / run.name
    shutil.rmtree(copy.parent, ignore_errors=True)
    copy.parent.mkdir()
    return shutil.copytree(run, copy)


def scored(run: Path, reporter: Silent) -> object:
    report, _ = evaluate(run, reporter=reporter)
    return report.confusion, report.steps, report.inference, report.parent


def resumed(room: Room, run: Path, reporter: Silent) -> dict[str, object]:
    """The weights, the best checkpoints and the validations that a run ends with."""
    train(room.config, run, resume=True, reporter=reporter)
    folder = open_run(run)
    kept = [*checkpoints_in(folder.checkpoints), *checkpoints_in(folder.best)]
    newest = max(kept, key=lambda path: path.name)
    best = [path.name for path in checkpoints_in(folder.best)]
    return {
        "weights": load_checkpoint(newest).digests,
        "best": best,
        "validations": folder.validations,
        "at": newest.name,
        "lines": [line["step"] for line in folder.read_metrics()],
    }


def outcome(expected: object, use: Callable[[Silent], object], name: str) -> str:
    """The outcome of a use of a damaged run: same, warned or refused; otherwise a description of the failure."""
    reporter = Warned()
    try:
        result = use(reporter)
    except RsmtdfError as error:
        named = Path(name).name in str(error) or Path(name).parent.name in str(error)
        return "refused" if named else f"the file is not named: {error}"
    if result == expected:
        return "same"
    # A line of metrics that is lost, for one.
    return "warned" if Path(name).name in reporter.text else "another result in silence"


@dataclass(frozen=True)
class Case:
    """A way to damage a file of a run, and the following use of the run."""

    run: Path
    name: str
    kind: Damage
    use: str
    seed: int

    def check(self, room: Room) -> str:
        copy = copied(self.run)
        self.kind(copy / self.name, np.random.default_rng(self.seed))
        uses: dict[str, tuple[str, Callable[[Silent], object]]] = {
            "score": (self.run.name, lambda reporter: scored(copy, reporter)),
            "resume": (f"{self.run.name} resumed", lambda reporter: resumed(room, copy, reporter)),
        }
        expected, use = uses[self.use]
        case = f"{self.kind.__name__} of {self.run.name}/{self.name} (seed {self.seed}), then {self.use}"
        try:
            kind = outcome(room.expected[expected], use, self.name)
        except Exception as fault:
            raise AssertionError(f"{case}: a traceback") from fault
        assert kind in GOOD, f"{case}: {kind}"
        return kind


def cases(room: Room, repeats: int) -> list[Case]:
    """Every file, kind of damage and use; damage at a random position is repeated."""
    return [
        Case(run, name, kind, use, seed)
        for run in room.runs
        for name in room.files(run)
        for kind in KINDS
        for seed in range(repeats if kind in (flip, zero_page, truncate) else 1)
        for use in ("score", "resume")
        # Whether a file can be written is not a question of what is read.
        if not (kind is directory and name.startswith(OUTPUTS))
    ]


@pytest.mark.slow
def test_a_sample_of_damaged_runs_is_the_same_or_reported(room: Room) -> None:
    every = [case for case in cases(room, 1) if not case.name.startswith(OUTPUTS)]
    sample = np.random.default_rng(7).permutation(len(every))[:QUICK]
    counts = Counter(every[index].check(room) for index in sample.tolist())
    assert counts["refused"] > 0
    assert counts["same"] > 0


@pytest.mark.reliability
def test_every_file_damaged_in_every_way(room: Room) -> None:
    counts: Counter[str] = Counter()
    for case in cases(room, MANY):
        counts[f"{case.use}: {case.check(room)}"] += 1
    print(f"{sum(counts.values())} damages of runs: {dict(counts)}")
    assert sum(counts.values()) > 1500


def test_one_damage_of_each_file_that_decides_the_result(room: Room) -> None:
    """A flipped bit in each; a checkpoint's tensors stand for each other."""
    killed = room.runs[1]
    names = ["run.json", "config.yaml", "manifest.yaml", "metrics.jsonl", "cache.lock.json"]
    best = f"best/{checkpoints_in(killed / 'best')[0].name}"
    names = [name for name in names if (killed / name).exists()]
    for name in [*names, f"{best}/state.json", f"{best}/ema.safetensors"]:
        for use in ("score", "resume"):
            Case(killed, name, flip, use, 5).check(room)


def test_a_damaged_best_checkpoint_is_named_and_another_taken_on_demand(
    room: Room, tmp_path: Path
) -> None:
    run = copied(room.runs[0])
    (best,) = checkpoints_in(run / "best")
    file = best / "ema.safetensors"
    flip(file, np.random.default_rng(0))
    uses: tuple[Callable[..., object], ...] = (
        lambda **words: evaluate(run, **words),
        lambda **words: predict(run, [room.image], tmp_path / "maps", **words),
        lambda **words: export_run(run, tmp_path / "out", "safetensors", **words),
    )
    for use in uses:
        with pytest.raises(RsmtdfError, match=r"the best checkpoint, .* is damaged") as caught:
            use()
        assert caught.value.where == str(file)
        option, _, other = str(caught.value.remedy).rpartition(" ")
        assert option.endswith("--checkpoint")
        use(checkpoint=Path(other))
    assert Path(other).name == best.name, "the same step, which is kept twice"
    with pytest.raises(RsmtdfError, match="is damaged") as caught:
        find_initial(run)
    option, _, other = str(caught.value.remedy).rpartition(" ")
    assert option.endswith("--init-from")
    assert find_initial(Path(other)).path == Path(other)


def test_the_remedy_of_a_missing_run_json_replaces_it(room: Room) -> None:
    run = copied(room.runs[0])
    (run / "run.json").unlink()
    with pytest.raises(RsmtdfError, match="missing") as caught:
        load_run(run)
    command = str(caught.value.remedy).partition(": ")[2]
    assert command.startswith("echo ")
    subprocess.run(command, shell=True, check=True)
    assert scored(run, Warned()) == (*room.expected["ended"],)


@pytest.mark.parametrize("name", ["config.yaml", "manifest.yaml"])
def test_resume_rewrites_a_damaged_config_from_an_equal_one(room: Room, name: str) -> None:
    run = copied(room.runs[0])
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole[:-20])
    with pytest.raises(RsmtdfError, match="damaged") as caught:
        scored(run, Warned())
    assert "--resume" in str(caught.value.remedy)
    train(room.config, run, resume=True)
    assert (run / name).read_bytes() == whole
    assert scored(run, Warned()) == room.expected["ended"]


def test_damaged_metrics_cost_only_their_lines(room: Room) -> None:
    """The history of validations decides which checkpoint is best, and so it is kept twice."""
    run = copied(room.runs[1])
    lines = (run / "metrics.jsonl").read_bytes().split(b"\n")
    (index,) = (i for i, line in enumerate(lines[:8]) if b"miou" in line)
    lines[index] = lines[index].replace(b"miou", b"mioo", 1)
    damaged = b"\n".join(lines)
    (run / "metrics.jsonl").write_bytes(damaged)
    reporter = Warned()
    assert scored(run, reporter) == room.expected["killed"]
    assert f"1 line damaged (line {index + 1})" in reporter.text
    reporter = Warned()
    ended = resumed(room, run, reporter)
    assert f"1 line damaged (line {index + 1})" in reporter.text
    expected = dict(room.expected["killed resumed"])
    assert ended.pop("lines") != expected.pop("lines")
    assert ended == expected
    assert (run / "damaged-metrics.jsonl").read_bytes() == damaged
