"""The command line from a user's view: exit statuses, messages, and no slow imports."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli import main
from pipeline.demo.scenes import draw_scenes

ROOT = Path(__file__).resolve().parents[2]


def _rsmtdf(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "120", "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_the_verbs_without_loading_torch():
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom cli.main import app\n"
        "result = CliRunner().invoke(app, ['--help'])\nassert result.exit_code == 0, result.output\n"
        "print(result.output)\n"
        "heavy = {'torch', 'timm', 'open_clip', 'zarr', 'distributed'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for verb in ("extract-features", "train", "evaluate", "predict", "demo", "config", "data"):
        assert verb in done.stdout


def test_the_core_loads_neither_a_command_line_nor_a_teacher():
    script = (
        "import sys, rsmtdf_core\n"
        "bad = {'typer', 'rich', 'open_clip', 'timm', 'torch'} & sys.modules.keys()\n"
        "bad |= {name for name in sys.modules if 'teachers' in name}\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_training_modules_load_no_model_library_of_teachers():
    script = (
        "import sys, pipeline.train.run\n"
        "bad = {'open_clip', 'rsmtdf_core.teachers.timm_family'} & sys.modules.keys()\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_wrong_key_is_reported_in_a_line_with_status_1():
    done = _rsmtdf("config", "show", "demo", "--set", "student.encodr=x")
    assert done.returncode == 1
    assert "did you mean 'encoder'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "nowhere.yaml"), "no config 'nowhere.yaml'"),
        (("train", "demo", "--set", "data.root=nowhere"), "nowhere"),
        (("evaluate", "nowhere"), "rsmtdf train CONFIG"),
        (("evaluate", "nowhere", "--protocol", "offical"), "did you mean 'official'?"),
        (("evaluate", "nowhere", "--set", "data.root=x"), "data.root cannot be changed"),
        (("compare", "nowhere", "--protocol", "dwl"), "--split val or --split test"),
        (("predict", "nowhere", "x.png"), "there is no run here"),
        (("data", "check", "dubai", "--root", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_named_with_status_1(arguments, message):
    done = _rsmtdf(*arguments)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_config_show_prints_every_key_and_copy_keeps_comments(tmp_path):
    shown = _rsmtdf("config", "show", "folder")
    assert shown.returncode == 0
    assert "weight_decay: 0.01" in shown.stdout
    path = tmp_path / "mine.yaml"
    assert _rsmtdf("config", "copy", "folder", path).returncode == 0
    assert path.read_text().startswith("# Your own images/")
    again = _rsmtdf("config", "copy", "folder", path)
    assert again.returncode == 1
    assert "exists already" in again.stderr


@pytest.mark.slow
def test_the_verbs_run_in_order_on_a_users_folder(tmp_path):
    draw_scenes(tmp_path / "scenes", 14, 72, seed=1)
    common = [
        *("--set", f"data.root={tmp_path / 'scenes'}"),
        *("--set", "views.crop=64", "--set", "optimiser.epochs=1", "--set", "optimiser.batch=2"),
        *("--set", "student.encoder=test_efficientnet"),
        *("--set", "evaluation.inference.window=64"),
        *("--set", "teachers.teacher.weights=random", "--set", "objective.pretrain.steps=2"),
        *("--cache", tmp_path / "cache"),
    ]
    run = tmp_path / "run"
    extracted = _rsmtdf("extract-features", "demo", *common)
    assert extracted.returncode == 0, extracted.stderr
    assert "RANDOM WEIGHTS" in extracted.stdout
    trained = _rsmtdf("train", "demo", *common, "--run", run)
    assert trained.returncode == 0, trained.stderr
    assert "RANDOM WEIGHTS" in trained.stderr
    again = _rsmtdf("train", "demo", *common, "--run", run)
    assert again.returncode == 1
    assert "--resume" in again.stderr
    scored = _rsmtdf("evaluate", run)
    assert scored.returncode == 0, scored.stderr
    assert "protocol rsmtdf" in scored.stdout
    assert "RANDOM WEIGHTS" in scored.stderr
    report = json.loads((run / "evaluation" / "test-ema" / "report.json").read_text())
    assert report["random_teachers"] == ["teacher"]
    image = next((tmp_path / "scenes" / "images").iterdir())
    predicted = _rsmtdf("predict", run, image, "--out", tmp_path / "maps")
    assert predicted.returncode == 0, predicted.stderr
    assert (tmp_path / "maps" / image.name).is_file()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_lists_what_is_kept_and_ends_at_once(tmp_path):
    draw_scenes(tmp_path / "scenes", 14, 72, seed=1)
    command = [sys.executable, "-m", "cli.main", "train", "demo", "--run", str(tmp_path / "run")]
    command += ["--set", f"data.root={tmp_path / 'scenes'}", "--set", "views.crop=64"]
    command += ["--set", "teachers=[]", "--set", "objective.pretrain={}"]
    command += ["--set", "optimiser.epochs=5000"]
    command += ["--set", "optimiser.batch=2", "--set", "evaluation.inference.window=64"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size) and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, output = process.communicate()
    assert process.returncode == 130
    assert "--resume" in output
    assert "Traceback" not in output


def test_sigterm_lists_what_is_kept_and_ends_forked_processes_too():
    script = (
        "import os, signal, time\nfrom cli import main\n"
        "def verb():\n"
        "    ready, started = os.pipe()\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        os.write(started, b'.')\n"
        "        signal.pause()\n"
        "    os.read(ready, 1)\n"
        "    os.kill(child, signal.SIGTERM)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    signal.pause()\n"
        "main.app = verb\nmain.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert done.stderr.startswith("\ninterrupted: complete files are kept; ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free space"),
        (errno.ENAMETOOLONG, "shorter names"),
        (errno.EACCES, "access"),
        (errno.EIO, "check it"),
        (errno.EMFILE, "RSMTDF_DEBUG"),
    ],
)
def test_errors_of_the_system_are_one_sentence(monkeypatch, capsys, number, remedy):
    def refuse() -> None:
        raise OSError(number, os.strerror(number), "some[where]")

    monkeypatch.setattr(main, "app", refuse)
    monkeypatch.setattr(main, "_quiet", lambda: None)
    with pytest.raises(SystemExit) as left:
        main.main()
    assert left.value.code == 1
    shown = capsys.readouterr().err
    assert f"error: the system reports: {os.strerror(number)}" in shown
    assert "where: some[where]" in shown
    assert remedy in shown
    assert "Traceback" not in shown
