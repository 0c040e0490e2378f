"""Weights & Biases and MLflow, through accelerate: beside metrics.jsonl and TensorBoard, for who asks.

Training uses no network: W&B writes below the run's folder (`wandb sync` uploads it), MLflow to a folder
beside the runs, unless the user's environment says otherwise.
"""

import os
import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from pipeline.config import ExperimentConfig
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.runs.folder import RunFolder

PROJECT = "rsmtdf"


def require_trackers(config: ExperimentConfig) -> None:
    """Find out before anything is computed.

    Raises:
        ConfigError: where a tracker's package is not installed.
    """
    missing = [name for name in config.runtime.trackers if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the package {missing[0]} is not installed",
            where="runtime.trackers",
            remedy="pip install 'rsmtdf[trackers]', or --set runtime.trackers=[]",
        )


def start_trackers(accelerator: Accelerator, config: ExperimentConfig, folder: RunFolder) -> None:
    """Begin the run in every tracker, or go on with the one that run.json names."""
    if not config.runtime.trackers:
        return
    _stay_offline(config)
    folder_name = folder.path.resolve().name
    known: dict[str, str] = folder.facts.get("trackers", {})
    chosen = {"wandb": known.get("wandb") or uuid.uuid4().hex[:8]}
    accelerator.init_trackers(
        os.environ.get("WANDB_PROJECT") or PROJECT,
        # MLflow refuses values that differ from those that a run began with.
        config=None if known else _flat(config.model_dump(mode="json")),
        init_kwargs={
            "wandb": {
                "id": chosen["wandb"],
                "name": folder_name,
                "dir": str(folder.path),
                "resume": "allow",
            },
            "mlflow": {"run_id": known.get("mlflow"), "run_name": folder_name},
        },
    )
    if "mlflow" in config.runtime.trackers:
        chosen["mlflow"] = accelerator.get_tracker("mlflow", unwrap=True).info.run_id
    folder.note(trackers=known | {name: chosen[name] for name in config.runtime.trackers})


def finish_trackers(accelerator: Accelerator) -> None:
    """Let every tracker write what it still holds."""
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

        # Not by the environment: this process may go on with a run elsewhere.
        mlflow.set_tracking_uri(mlflow_folder(config).as_uri())


def mlflow_folder(config: ExperimentConfig) -> Path:
    """Where MLflow writes by default: one folder for all runs, so that they can be compared."""
    return (config.runtime.runs / "mlruns").resolve()


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested groups as dotted keys; values that trackers do not take as text."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{key}.")
        elif isinstance(value, bool | int | float | str):
            flat[f"{above}{key}"] = value
        else:
            flat[f"{above}{key}"] = str(value)
    return flat
