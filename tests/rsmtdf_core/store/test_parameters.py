"""A codec's parameters are the ones whose digest the metadata has, or are refused."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.copies import copy_of
from rsmtdf_core.store.parameters import PARAMETERS, read_parameters, write_parameters

VALUES = {
    "mean": np.linspace(-1, 1, 6, dtype=np.float32),
    "components": np.arange(12, dtype=np.float32).reshape(3, 4).T,
    "wide": np.array([3], np.int32),
}


def test_parameters_and_their_copy_come_back_as_they_were(tmp_path):
    digest = write_parameters(tmp_path, VALUES)
    for path in (tmp_path / PARAMETERS, copy_of(tmp_path / PARAMETERS)):
        read = read_parameters(path, digest)
        assert read.keys() == VALUES.keys()
        for name, value in VALUES.items():
            assert read[name].dtype == value.dtype
            assert np.array_equal(read[name], value)


def test_the_order_of_names_does_not_change_the_file(tmp_path):
    digest = write_parameters(tmp_path, VALUES)
    assert write_parameters(tmp_path, dict(reversed(VALUES.items()))) == digest
    assert write_parameters(tmp_path, VALUES | {"wide": np.array([4], np.int32)}) != digest


@given(position=st.floats(0, 0.9999), bit=st.integers(0, 7))
def test_no_changed_bit_passes(tmp_path_factory, position, bit):
    folder = tmp_path_factory.mktemp("parameters")
    digest = write_parameters(folder, VALUES)
    path = folder / PARAMETERS
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError) as caught:
        read_parameters(path, digest)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, b"{}", (2**40).to_bytes(8, "little") + b"{}"]
)
def test_an_invalid_safetensors_file_is_damage_despite_a_right_digest(tmp_path, content):
    (tmp_path / PARAMETERS).write_bytes(content)
    with pytest.raises(StoreDamagedError, match="cannot be read"):
        read_parameters(tmp_path / PARAMETERS, hashlib.sha256(content).hexdigest())


def test_an_absent_file_is_damage(tmp_path):
    with pytest.raises(StoreDamagedError, match="missing"):
        read_parameters(tmp_path / PARAMETERS, "0" * 64)
