"""Optional trackers, Weights & Biases and MLflow, through accelerate.

Training uses no network: W&B writes to the run's folder (`wandb sync` uploads it) and MLflow to a folder next to the
runs, unless the user's environment configures them otherwise.
"""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from pipeline.commands import train_command
from pipeline.config import ExperimentConfig
from rsmtdf_core.errors import ConfigError, RsmtdfError, RunError
from rsmtdf_core.runs.folder import RunFolder

PROJECT = "rsmtdf"


def require_trackers(config: ExperimentConfig) -> None:
    """Check that the config's trackers are installed.

    Raises:
        ConfigError: If the package of a tracker is not installed.
    """
    missing = [name for name in config.runtime.trackers if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the package {missing[0]} is not installed",
            where="runtime.trackers",
            remedy="pip install 'rsmtdf[trackers]', or --set runtime.trackers=[]",
        )


@contextmanager
def tracking(folder: RunFolder, processes: int) -> Iterator[None]:
    """Raise a tracker's failure as an error whose remedy is to continue without trackers.

    Raises:
        RunError: If a tracker raises any error.
    """
    try:
        yield
    except RsmtdfError:
        raise
    except Exception as failure:
        reason = (str(failure) or type(failure).__name__).splitlines()[0]
        words = ("--resume", "--set 'runtime.trackers=[]'")
        command = train_command(folder.config, folder.path, *words, processes=processes)
        raise RunError(
            f"a tracker fails: {reason}",
            where="runtime.trackers",
            remedy=f"correct the cause, or continue without trackers: {command}",
        ) from failure


@contextmanager
def running_trackers(
    accelerator: Accelerator, config: ExperimentConfig, folder: RunFolder
) -> Iterator[None]:
    """Start a run in every tracker, or continue the run recorded in run.json; flush and close them at the end.

    Raises:
        RunError: If a tracker raises any error.
    """
    try:
        with tracking(folder, accelerator.num_processes):
            _start(accelerator, config, folder)
        yield
    except BaseException:
        with suppress(Exception):  # the first error matters
            _finish(accelerator)
        raise
    with tracking(folder, accelerator.num_processes):
        _finish(accelerator)


def _start(accelerator: Accelerator, config: ExperimentConfig, folder: RunFolder) -> None:
    if not config.runtime.trackers:
        return
    _stay_offline(config)
    folder_name = folder.path.resolve().name
    recorded: dict[str, str] = folder.facts.get("trackers", {})
    run_ids = {"wandb": recorded.get("wandb") or uuid.uuid4().hex[:8]}
    accelerator.init_trackers(
        os.environ.get("WANDB_PROJECT") or PROJECT,
        # MLflow rejects values that differ from those at the start of the run.
        config=None if recorded else _flat(config.model_dump(mode="json")),
        init_kwargs={
            "wandb": {
                "id": run_ids["wandb"],
                "name": folder_name,
                "dir": str(folder.path),
                "resume": "allow",
            },
            "mlflow": {"run_id": recorded.get("mlflow"), "run_name": folder_name},
        },
    )
    if "mlflow" in config.runtime.trackers:
        run_ids["mlflow"] = accelerator.get_tracker("mlflow", unwrap=True).info.run_id
    folder.note(trackers=recorded | {name: run_ids[name] for name in config.runtime.trackers})


def _finish(accelerator: Accelerator) -> None:
    for tracker in accelerator.trackers:
        tracker.finish()
    accelerator.trackers.clear()


def _stay_offline(config: ExperimentConfig) -> None:
    environment = os.environ
    environment.setdefault("WANDB_MODE", "offline")
    # Its banners and its capture of the terminal would break the progress bar.
    environment.setdefault("WANDB_SILENT", "true")
    environment.setdefault("WANDB_CONSOLE", "off")
    if environment["WANDB_MODE"] == "offline":
        environment.setdefault("WANDB_ERROR_REPORTING", "false")
    environment.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    if "mlflow" in config.runtime.trackers and "MLFLOW_TRACKING_URI" not in environment:
        environment.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        import mlflow

        # Not through the environment, because this process may later train in another folder.
        mlflow.set_tracking_uri(mlflow_folder(config).as_uri())


def mlflow_folder(config: ExperimentConfig) -> Path:
    """Return the default folder of MLflow, shared by all runs so that they can be compared."""
    return (config.runtime.runs / "mlruns").resolve()


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Flatten nested groups to dotted keys, and convert values that trackers do not support to text."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{key}.")
        elif isinstance(value, bool | int | float | str):
            flat[f"{above}{key}"] = value
        else:
            flat[f"{above}{key}"] = str(value)
    return flat
