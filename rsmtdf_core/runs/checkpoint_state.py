"""What a checkpoint says of itself, read without its weights and without torch."""

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
# What the file held before it had a fingerprint.
_EARLIER = (
    *("format", "step", "epoch", "scaler", "parent", "digests"),
    *("teachers", "random_teachers", "approximations"),
)


def checkpoint_name(step: int) -> str:
    """The folder name of the checkpoint after `step` steps."""
    return f"step-{step:08d}"


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What state.json of the checkpoint in `path` holds, and the sha256 of each other file by name.

    Raises:
        RunError: where the file is missing, damaged, of another format or of another step than its folder.
    """
    file = path / STATE
    if not os.path.lexists(file) and not any((path / name).is_file() for name in FILES):
        raise RunError(
            "there is no checkpoint here",
            where=path,
            remedy="name a folder step-... in the run's checkpoints or best, or leave out --checkpoint",
        )
    state = FORMAT.current(read_sealed_json(file, _EARLIER), file, RunError)
    digests, step = state.pop("digests", None), state.get("step")
    if not isinstance(digests, dict) or set(digests) != set(FILES) or type(step) is not int:
        raise RunError("the file is damaged: it does not name the checkpoint's files", where=file)
    if path.name.startswith("step-") and path.name != checkpoint_name(step):
        raise RunError(f"the file is of step {step}, not that of its folder", where=file)
    return state, digests


def checkpoint_fingerprint(state: dict[str, Any], digests: dict[str, str]) -> str:
    """The sha256 of everything in a checkpoint, and so of what it was trained on."""
    return fingerprint({"state": state, "digests": digests})
