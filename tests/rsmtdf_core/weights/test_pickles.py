"""Pickles are read without importing or calling the names in them."""

import collections
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from rsmtdf_core.weights.pickles import (
    _FREE_WORK,
    _WORK_PER_BYTE,
    Storage,
    StoredTensor,
    Stub,
    Unpickler,
)


def loaded(value, protocol=2):
    return Unpickler(io.BytesIO(pickle.dumps(value, protocol))).load()


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(min_size=1),  # older protocols spell an empty one as a call
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@given(value=PLAIN)
def test_plain_values_equal_those_of_pickle(protocol, value):
    assert loaded(value, protocol) == value


def test_ordered_dicts_keep_their_order():
    value = collections.OrderedDict([("b", 1), ("a", 2)])
    assert list(loaded(value).items()) == [("b", 1), ("a", 2)]


class Caller:
    """Pickled as a call of `os.mkdir`."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_named_function_is_not_called(tmp_path, protocol):
    stub = loaded({"state": Caller(tmp_path / "made")}, protocol)["state"]
    assert isinstance(stub, Stub)
    assert not (tmp_path / "made").exists()


class Configuration:
    def __init__(self):
        self.depth = 12


def test_an_object_of_an_unknown_class_keeps_its_state_and_has_no_behavior():
    stub = loaded(Configuration())
    assert isinstance(stub, Stub)
    assert stub.values == {"depth": 12}


@pytest.mark.parametrize("name", ["f8", "f4", "i8", "i4"])
def test_numbers_of_numpy_are_plain_numbers(name):
    value = loaded({"best": np.dtype(name).type(3)})["best"]
    assert value == 3
    assert type(value) in (int, float)


STORAGE = Storage("0", torch.float32, 24)


def test_a_storage_knows_its_bytes():
    assert STORAGE.bytes == 96


@example(offset=0, dimensions=[(5, 0), (5, 0)])  # more elements than the storage, all of them in it
@given(
    st.integers(-2, 30),
    st.lists(st.tuples(st.integers(-1, 6), st.integers(-1, 6)), max_size=3),
)
def test_a_tensor_reaches_no_further_than_its_storage(offset, dimensions):
    shape = tuple(size for size, _ in dimensions)
    stride = tuple(step for _, step in dimensions)
    if min((offset, *shape, *stride)) < 0:
        fits = False
    else:
        offsets = [
            offset + sum(i * s for i, s in zip(at, stride, strict=True)) for at in np.ndindex(shape)
        ]
        fits = not offsets or (max(offsets) < 24 and len(offsets) <= 24)
    if fits:
        assert StoredTensor(STORAGE, torch.float32, offset, shape, stride).shape == shape
    else:
        with pytest.raises(ValueError, match="storage 0"):
            StoredTensor(STORAGE, torch.float32, offset, shape, stride)


def test_a_shape_without_a_stride_is_refused():
    with pytest.raises(ValueError, match="storage"):
        StoredTensor(STORAGE, torch.float32, 0, (2, 3), (1,))


@pytest.mark.parametrize(
    "facts",
    [
        ("module", "x"),
        ("storage", torch.float32, "0", "cpu", 24),
    ],
)
def test_known_ids_refer_to_a_module_or_a_storage(facts):
    unpickler = Unpickler(io.BytesIO())
    assert unpickler.persistent_load(facts) == ("x" if facts[0] == "module" else STORAGE)


@pytest.mark.parametrize(
    "facts",
    [
        ("file", torch.float32, "0", "cpu", 24),
        ("storage", "float32", "0", "cpu", 24),
        ("storage", torch.float32, 0, "cpu", 24),
        ("storage", torch.float32, "0", "cpu", -1),
        ("storage", torch.float32, "0", "cpu", 2.0),
        ("storage", torch.float32, "0", "cpu", 24, ("view", 0, 2)),
    ],
)
def test_other_ids_are_refused(facts):
    with pytest.raises(ValueError, match="storage"):
        Unpickler(io.BytesIO()).persistent_load(facts)


def test_a_storage_that_is_described_in_two_ways_is_refused():
    unpickler = Unpickler(io.BytesIO())
    unpickler.persistent_load(("storage", torch.float32, "0", "cpu", 24))
    unpickler.persistent_load(("storage", torch.float32, "0", "cpu", 24))
    with pytest.raises(ValueError, match="two ways"):
        unpickler.persistent_load(("storage", torch.float32, "0", "cpu", 25))


def test_a_memo_index_far_beyond_the_others_is_refused():
    content = b"\x80\x02Nr" + struct.pack("<I", 2**31) + b"."
    with pytest.raises(ValueError, match=r"."):
        Unpickler(io.BytesIO(content)).load()


LENGTH, CALLS = 2**16, 2**10
GET = pickle.BINGET + b"\0"
FUNCTION = pickle.BINGET + b"\1"


def _memoized(value: bytes, index: int) -> bytes:
    return value + pickle.BINPUT + bytes([index])


def _global(module: bytes, name: bytes) -> bytes:
    return pickle.GLOBAL + module + b"\n" + name + b"\n"


LONG_LIST = pickle.EMPTY_LIST + pickle.MARK + pickle.NONE * LENGTH + pickle.APPENDS
LONG_TUPLE = pickle.MARK + pickle.NONE * LENGTH + pickle.TUPLE
LONG_TEXT = pickle.BINUNICODE + struct.pack("<I", LENGTH) + b"x" * LENGTH
LONG_DICT = (
    pickle.EMPTY_DICT
    + pickle.MARK
    + b"".join(pickle.BININT + struct.pack("<i", number) + pickle.NONE for number in range(LENGTH))
    + pickle.SETITEMS
)
PAIRS = (
    pickle.EMPTY_LIST
    + pickle.MARK
    + (pickle.BINUNICODE + struct.pack("<I", 1) + b"k" + pickle.NONE + pickle.TUPLE2) * LENGTH
    + pickle.APPENDS
)
SIZE, ORDERED = _global(b"torch", b"Size"), _global(b"collections", b"OrderedDict")
UNKNOWN, FROM_TYPE = _global(b"m", b"C"), _global(b"torch._tensor", b"_rebuild_from_type_v2")
# A long value (memo 0), a function (memo 1) and the opcodes of a call of the function with the value.
LONG_CALLS = {
    "a size": (LONG_LIST, SIZE, FUNCTION + GET + pickle.TUPLE1 + pickle.REDUCE),
    "a dictionary of pairs": (PAIRS, ORDERED, FUNCTION + GET + pickle.TUPLE1 + pickle.REDUCE),
    "text": (
        LONG_TEXT,
        _global(b"_codecs", b"encode"),
        FUNCTION + GET + pickle.TUPLE1 + pickle.REDUCE,
    ),
    "many arguments": (LONG_TUPLE, UNKNOWN, FUNCTION + GET + pickle.REDUCE),
    "a new object": (LONG_TUPLE, UNKNOWN, FUNCTION + GET + pickle.NEWOBJ),
    "a new object with names": (
        LONG_TUPLE,
        UNKNOWN,
        FUNCTION + GET + pickle.EMPTY_DICT + pickle.NEWOBJ_EX,
    ),
    "an object": (LONG_LIST, SIZE, pickle.MARK + FUNCTION + GET + pickle.OBJ),
    "an instance": (LONG_LIST, SIZE, pickle.MARK + GET + pickle.INST + b"torch\nSize\n"),
    "a state": (
        LONG_DICT,
        UNKNOWN,
        FUNCTION + pickle.EMPTY_TUPLE + pickle.NEWOBJ + GET + pickle.BUILD,
    ),
    "a state of slots": (
        LONG_DICT,
        ORDERED,
        FUNCTION + pickle.EMPTY_TUPLE + pickle.REDUCE + GET + pickle.NONE + pickle.TUPLE2
        + pickle.BUILD,
    ),
    "an id": (LONG_TUPLE, UNKNOWN, GET + pickle.BINPERSID),
    "a name": (LONG_TEXT, UNKNOWN, GET + GET + pickle.STACK_GLOBAL),
    "a call in a call": (
        pickle.MARK + LONG_LIST + pickle.TUPLE,
        FROM_TYPE + pickle.BINPUT + b"\2" + SIZE,
        pickle.BINGET + b"\2" + pickle.MARK + FUNCTION + pickle.NONE + GET + pickle.NONE
        + pickle.TUPLE + pickle.REDUCE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LONG_CALLS)
def test_many_calls_with_one_long_value_are_refused_after_few(case):
    value, function, call = LONG_CALLS[case]
    head = b"\x80\x02" + _memoized(value, 0) + _memoized(function, 1)
    file = io.BytesIO(head + (call + pickle.POP) * CALLS + pickle.NONE + pickle.STOP)
    unpickler = Unpickler(file)
    if case == "an id":  # its first element names a kind that is not known
        unpickler.persistent_load = tuple
    with pytest.raises(ValueError, match="copy far more elements"):
        unpickler.load()
    calls = (file.tell() - len(head)) / (len(call) + 1)
    budget = _FREE_WORK + _WORK_PER_BYTE * file.tell()
    assert 1 < calls <= budget / LENGTH + 1
    assert unpickler.work <= budget + 3 * LENGTH


def test_genuine_files_copy_less_than_an_element_per_byte(tmp_path):
    state = collections.OrderedDict((f"blocks.{i}.weight", torch.ones(2, 2)) for i in range(300))
    names = {"classes": [f"class {i}" for i in range(300)], "scores": np.float64(0.5)}
    torch.save({"model": state, **names}, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as archive, archive.open("w/data.pkl") as file:
        unpickler = Unpickler(file)
        assert len(unpickler.load()["model"]) == 300
        assert unpickler.work < file.tell()


def test_an_announced_length_is_not_allocated():
    content = b"\x80\x05" + pickle.BYTEARRAY8 + struct.pack("<Q", 2**60) + b"abc"
    with pytest.raises((EOFError, IndexError)):
        Unpickler(io.BytesIO(content)).load()
    assert loaded(bytearray(b"abc"), 5) == bytearray(b"abc")
