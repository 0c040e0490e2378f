"""What a codec fitted on a first sample of tokens, and the channels' statistics, beside the store."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.files import atomic_file
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.store.codecs import Parameters
from rsmtdf_core.store.shards import damage

PARAMETERS = "parameters.safetensors"
# A rotation of 4096 channels is 64 MiB.
_MAX_BYTES = 2**28


def write_parameters(store: Path, parameters: Parameters) -> str:
    """Write the parameters of the store at `store`, atomically; returns the file's sha256."""
    data = save({name: np.ascontiguousarray(value) for name, value in sorted(parameters.items())})
    with atomic_file(store / PARAMETERS) as file:
        file.write(data)
    return file_sha256(store / PARAMETERS)


def read_parameters(store: Path, sha256: str) -> Parameters:
    """Read the parameters of the store at `store`.

    Raises:
        StoreDamagedError: where the file is absent or not the one with that digest.
    """
    path = store / PARAMETERS
    if not path.is_file():
        raise StoreDamagedError("the file is missing", where=path, remedy=damage(path, "").remedy)
    if path.stat().st_size > _MAX_BYTES or file_sha256(path) != sha256:
        raise damage(path, "the file is not the one that was written")
    try:
        return load(path.read_bytes())
    except (SafetensorError, ValueError) as wrong:
        raise damage(path, f"the file cannot be read: {wrong}") from None
