"""The state file of a checkpoint, read without its weights and without torch."""

import os
from pathlib import Path
from typing import Any

from rsmtdf_core.errors import RunError
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.formats import FileFormat
from rsmtdf_core.runs.seals import read_sealed_json

FORMAT = FileFormat("checkpoint")
STATE = "state.json"
FILES = ("student.safetensors", "ema.safetensors", "optimiser.safetensors")
# The keys of the file in versions without a fingerprint.
_EARLIER = (
    *("format", "step", "epoch", "scaler", "parent", "digests"),
    *("teachers", "random_teachers", "approximations"),
)


def checkpoint_name(step: int) -> str:
    """Return the folder name of the checkpoint after `step` steps."""
    return f"step-{step:08d}"


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read state.json of the checkpoint in `path`: its content, and the sha256 of each other file by name.

    Raises:
        RunError: If the file is missing or damaged, or has another format or another step than its folder.
    """
    file = path / STATE
    if not os.path.lexists(file) and not any((path / name).is_file() for name in FILES):
        raise RunError(
            "there is no checkpoint here",
            where=path,
            remedy="pass a folder step-... in the run's checkpoints or best, or omit --checkpoint",
        )
    state = FORMAT.current(read_sealed_json(file, _EARLIER), file, RunError)
    digests, step = state.pop("digests", None), state.get("step")
    if not isinstance(digests, dict) or set(digests) != set(FILES) or type(step) is not int:
        raise RunError("the file is damaged: it does not name the checkpoint's files", where=file)
    if path.name.startswith("step-") and path.name != checkpoint_name(step):
        raise RunError(f"the file belongs to step {step}, not to that of its folder", where=file)
    return state, digests


def checkpoint_fingerprint(state: dict[str, Any], digests: dict[str, str]) -> str:
    """Return the sha256 of a whole checkpoint, including the views and stores of its training."""
    return fingerprint({"state": state, "digests": digests})
