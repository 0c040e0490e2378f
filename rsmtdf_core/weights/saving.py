"""Writes safetensors files atomically, with the permissions of any new file."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from rsmtdf_core.files import atomic_path, sync_file

_NUMBER = re.compile(r"\(os error (\d+)\)")


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write contiguous tensors to `path` and sync the file.

    Raises:
        WriteError: If the file cannot be written, for example because the disk is full.
    """
    with atomic_path(path) as temporary:
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        try:
            save_file(dict(tensors), temporary)
        except SafetensorError as error:
            number = _NUMBER.search(str(error))
            if number is None:
                raise
            code = int(number[1])
            # Safetensors reports the name of its own temporary file, so name ours instead.
            raise OSError(code, os.strerror(code), str(temporary)) from error
        if stat.S_IMODE(temporary.stat().st_mode) != mode:
            temporary.chmod(mode)  # safetensors makes its files readable by the owner only
        sync_file(temporary)
