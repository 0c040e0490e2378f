"""Verbs from Python: they compute as on the command line, and leave the process as it was."""

import asyncio
import errno
import inspect
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from typer.testing import CliRunner

import rsmtdf
import rsmtdf.isolation
from cli.main import app
from pipeline.train.signals import Interrupted
from rsmtdf_core.errors import ConfigError, MissingFileError, RsmtdfError

# Groups of commands; cache and data are modules.
GROUPS = {"cache", "config", "data"}
# Options of the command line under the names that they have in Python.
RENAMED = {
    "set": "overrides",
    "from": "source",
    "quick": "depth",
    "deep": "depth",
}


def commands(group, skipped=()):
    return {
        name.replace("-", "_"): command
        for name, command in group.commands.items()
        if name not in skipped
    }


def test_every_verb_of_the_command_line_is_a_function_with_its_name_and_options():
    root = typer.main.get_command(app)
    verbs = {name: (rsmtdf, command) for name, command in commands(root, GROUPS).items()}
    for module in (rsmtdf.cache, rsmtdf.data):
        known = commands(root.commands[module.__name__.partition(".")[2]])
        verbs |= {name: (module, known[name]) for name in module.__all__}
    assert set(commands(root, GROUPS)) <= set(rsmtdf.__all__)
    for name, (module, command) in verbs.items():
        function = getattr(module, name)
        parameters = inspect.signature(function).parameters
        assert function.__doc__, name
        assert all(one.annotation is not one.empty for one in parameters.values()), name
        options = {option_name(option) for option in command.params}
        # A report is a value already, and bars are shown on request.
        expected = {RENAMED.get(option, option) for option in options} - {"json"}
        assert set(parameters) - {"progress"} == expected, name


def option_name(option):
    """The option as a Python name: of `--padding-label` padding_label; of an argument its own."""
    long = next((flag for flag in option.opts if flag.startswith("--")), option.name)
    return long.removeprefix("--").replace("-", "_")


def test_the_package_imports_no_large_library():
    script = "import sys, rsmtdf; print([name for name in sys.modules if '.' not in name])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    loaded = set(json.loads(done.stdout.replace("'", '"')))
    assert not loaded & {
        "torch",
        "numpy",
        "pydantic",
        "zarr",
        "distributed",
        "typer",
        "rich",
        "PIL",
    }


def state() -> dict[str, object]:
    """What the whole process shares."""
    return {
        "python": random.getstate(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002 - the global generator
        "torch": torch.get_rng_state().tolist(),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "signals": {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)},
        "threads": torch.get_num_threads(),
        "interop": torch.get_num_interop_threads(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "grad": torch.is_grad_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "accelerate": dict(AcceleratorState._shared_state),
    }


def test_verbs_leave_the_process_as_it_was(values, tmp_path):
    config = values | {"name": "state"}
    before, threads = state(), threading.active_count()
    rsmtdf.extract_features(config, overrides={"runtime.cache": tmp_path / "cache"})
    assert state() == before
    overrides = {"runtime.cache": tmp_path / "cache", "runtime.runs": tmp_path}
    run = rsmtdf.train(config, overrides=overrides, max_steps=1).run
    assert state() == before
    rsmtdf.evaluate(run)
    rsmtdf.predict(run, values["data"]["root"] / "images", tmp_path / "maps")
    rsmtdf.load_student(run)
    rsmtdf.open_features(config, overrides=overrides)[0]
    assert state() == before
    with pytest.raises(RsmtdfError):
        rsmtdf.train(config, overrides=overrides)  # the run is there already
    assert state() == before
    assert threading.active_count() <= threads + 1, threading.enumerate()


def test_calls_may_be_repeated_with_the_same_result(extracted, tmp_path):
    first = rsmtdf.train(extracted, tmp_path / "first", max_steps=2).run
    torch.rand(3)  # the caller's own use of the global generators changes nothing
    second = rsmtdf.train(extracted, tmp_path / "second", max_steps=2).run
    assert len(losses(first)) == 2
    assert losses(first) == losses(second)
    assert rsmtdf.extract_features(extracted).rendered == 0


def losses(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_a_training_is_that_of_the_command_line(extracted, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(extracted, default=str))
    words = ["train", str(config), "--run", str(tmp_path / "cli"), "--max-steps", "2"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert losses(tmp_path / "cli") == losses(
        rsmtdf.train(config, tmp_path / "api", max_steps=2).run
    )


def test_ctrl_c_in_a_training_is_an_error_and_a_checkpoint(extracted, tmp_path, monkeypatch):
    from rsmtdf_core.training.loop import Training

    steps = Training.steps

    def interrupted(self, start):
        for record in steps(self, start):
            os.kill(os.getpid(), signal.SIGINT)
            yield record

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "steps", interrupted)
        with pytest.raises(Interrupted, match="SIGINT after step 1"):
            rsmtdf.train(extracted, tmp_path / "run", max_steps=2)
    assert signal.getsignal(signal.SIGINT) is handler
    assert rsmtdf.train(extracted, tmp_path / "run", resume=True, max_steps=2).steps == 2


def test_the_callers_accelerator_stays_its_own(extracted, tmp_path):
    AcceleratorState._reset_state(reset_partial_state=True)
    mine = Accelerator(cpu=True, mixed_precision="bf16")
    try:
        rsmtdf.train(extracted, tmp_path / "run", max_steps=1)
        assert Accelerator().mixed_precision == "bf16"
        assert mine.state.mixed_precision == "bf16"
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        os.environ.pop("ACCELERATE_MIXED_PRECISION", None)


def test_verbs_work_in_a_running_event_loop(values, tmp_path):
    async def cell():
        return rsmtdf.extract_features(values, cache=tmp_path)

    assert asyncio.run(cell()).rendered == 20


def test_nothing_is_printed(values, tmp_path, capfd):
    rsmtdf.extract_features(values, cache=tmp_path / "cache")
    run = rsmtdf.train(values, tmp_path / "run", cache=tmp_path / "cache", max_steps=1).run
    rsmtdf.evaluate(run)
    rsmtdf.predict(run, values["data"]["root"] / "images", tmp_path / "maps")
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_results_are_values(run, tmp_path):
    report = rsmtdf.evaluate(run, protocol=["rsmtdf", "official"])
    assert 0 <= report.scores.miou <= 1
    assert (run / "evaluation" / "test-ema" / "report.json").is_file()
    assert rsmtdf.runs(run.parent).runs
    assert rsmtdf.compare([run]).groups
    assert rsmtdf.report([run], tmp_path / "report.html", scenes=1).path.is_file()
    assert rsmtdf.export(run, tmp_path / "out", format="safetensors").file.is_file()


def test_one_input_or_several(run, values, tmp_path):
    images = sorted((values["data"]["root"] / "images").iterdir())[:2]
    [one] = rsmtdf.predict(run, str(images[0]), tmp_path / "one")
    both = rsmtdf.predict(
        run, images, tmp_path / "both", overrides=["evaluation.inference.batch=1"]
    )
    assert one.read_bytes() == both[0].read_bytes()
    assert len(both) == 2


def test_errors_are_ours(values, run, tmp_path):
    with pytest.raises(ConfigError, match="optimiser"):
        rsmtdf.train(values, overrides={"optimiser.epoch": 3})
    with pytest.raises(ConfigError, match="resume"):
        rsmtdf.train(values, resume=True, overwrite=True)
    with pytest.raises(RsmtdfError):
        rsmtdf.evaluate(tmp_path / "none")
    with pytest.raises(RsmtdfError):
        rsmtdf.open_features(values, overrides={"runtime.cache": tmp_path / "empty"})
    with pytest.raises(ConfigError, match="no teacher is named sam"):
        rsmtdf.open_features(values, teachers=["sam"])
    with pytest.raises(RsmtdfError):
        rsmtdf.load_student(tmp_path)


def test_what_the_system_refuses_is_our_error():
    @rsmtdf.isolation.isolated
    def verb(number):
        raise OSError(number, os.strerror(number), "a file")

    with pytest.raises(RsmtdfError, match="No space left on device") as caught:
        verb(errno.ENOSPC)
    assert caught.value.where == "a file"
    assert isinstance(caught.value.__cause__, OSError)


def test_generators_are_restored_after_an_error_too():
    @rsmtdf.isolation.isolated
    def verb():
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(7)
        os.environ["RSMTDF_OF_A_TEST"] = "1"
        raise MissingFileError("of a test")

    before = state()
    with pytest.raises(MissingFileError):
        verb()
    assert state() == before


def test_bars_are_shown_on_request_alone(run, capsys):
    rsmtdf.evaluate(run, split="val")
    assert "evaluate val" not in capsys.readouterr().err
    rsmtdf.evaluate(run, split="val", progress=True)
    assert "evaluate val: 100%" in capsys.readouterr().err


def test_warnings_are_logged(extracted, tmp_path, caplog):
    rsmtdf.train(extracted, tmp_path / "run", max_steps=1)
    assert "RANDOM WEIGHTS" in caplog.text
    assert {record.name for record in caplog.records} == {"rsmtdf"}


def test_verbs_of_the_cache(extracted, tmp_path):
    cache = extracted["runtime"]["cache"]
    keys = [entry.key for entry in rsmtdf.cache.ls(cache).stores if entry.codec.startswith("fp16")]
    assert len(keys) == 2
    assert rsmtdf.cache.info("vit", cache=cache).key in keys
    report = rsmtdf.cache.verify(keys, config=extracted, depth="quick")
    assert [store.store for store in report.stores] == keys
    assert report.failed == 0
    made = rsmtdf.cache.transcode("cnn", "int8", cache=cache)
    assert made.new == made.views == 20
    config = rsmtdf.load_config(extracted, {"teachers.cnn.codec": "int8"})
    assert set(rsmtdf.open_features(config).shapes) == {"vit", "cnn"}
    with pytest.raises(RsmtdfError):
        rsmtdf.cache.ls(tmp_path / "none")


def test_verbs_of_data(values, tmp_path):
    result = rsmtdf.data.check("synthetic", values["data"]["root"], tmp_path)
    assert not result.problems
    assert (tmp_path / "check.json").is_file()
    with pytest.raises(RsmtdfError):
        rsmtdf.data.prepare("potsdam", tmp_path, tmp_path / "to")
    with pytest.raises(ConfigError, match="loveda"):
        rsmtdf.data.prepare("lovedo", tmp_path, tmp_path / "to")
