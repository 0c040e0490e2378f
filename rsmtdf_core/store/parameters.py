"""A store's parameters: those that its codec fitted on a first sample, and the channels' statistics."""

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from rsmtdf_core.codecs import Parameters
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.files import atomic_file, read_file
from rsmtdf_core.store.copies import copy_of
from rsmtdf_core.store.shards import damage

PARAMETERS = "parameters.safetensors"


def write_parameters(store: Path, parameters: Parameters) -> str:
    """Write the parameters of a store and their copy atomically; return the file's sha256."""
    data = save({name: np.ascontiguousarray(value) for name, value in sorted(parameters.items())})
    for path in (copy_of(store / PARAMETERS), store / PARAMETERS):
        with atomic_file(path) as file:
            file.write(data)
    return hashlib.sha256(data).hexdigest()


def read_parameters(path: Path, sha256: str) -> Parameters:
    """Read the parameters in a file.

    Raises:
        StoreDamagedError: If the file is missing or has another digest.
    """
    content = read_file(path, StoreDamagedError)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise damage(path, "the file does not match its digest")
    try:
        return load(content)
    except (SafetensorError, ValueError) as wrong:
        raise damage(path, f"the file cannot be read: {wrong}") from None
