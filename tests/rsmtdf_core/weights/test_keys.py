"""Keys that Python needs long for are refused, and those of genuine files pass."""

import pickle
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.weights.states import read_state

COLLIDING = [number * sys.hash_info.modulus for number in range(5000)]


def _shared_tuples() -> tuple:
    """A tuple of two entries whose hash takes 2^60 steps."""
    shared: tuple = ()
    for _ in range(60):
        shared = (shared, shared)
    return shared


def _filled(content: bytes, opcode: bytes) -> bytes:
    return pickle.MARK + content + opcode


NUMBERS = b"".join(pickle.dumps(number, 2)[2:-1] for number in COLLIDING)
PAIRS = b"".join(pickle.dumps(number, 2)[2:-1] + pickle.NONE for number in COLLIDING)
SLOW_KEYS = {
    "items": pickle.dumps(dict.fromkeys(COLLIDING), 2),
    "items one by one": pickle.EMPTY_DICT
    + b"".join(pickle.dumps(number, 2)[2:-1] + pickle.NONE + pickle.SETITEM for number in COLLIDING)
    + pickle.STOP,
    "a dictionary": _filled(PAIRS, pickle.DICT) + pickle.STOP,
    "an ordered one": pickle.GLOBAL
    + b"collections\nOrderedDict\n"
    + pickle.EMPTY_LIST
    + _filled(
        b"".join(
            pickle.dumps(number, 2)[2:-1] + pickle.NONE + pickle.TUPLE2 for number in COLLIDING
        ),
        pickle.APPENDS,
    )
    + pickle.TUPLE1
    + pickle.REDUCE
    + pickle.STOP,
    "a set": pickle.dumps(set(COLLIDING), 4),
    "a frozen set": pickle.dumps(frozenset(COLLIDING), 4),
    "fractions": pickle.dumps({number + 0.5: None for number in range(5000)}, 2),
    "pairs": pickle.dumps({(number, number): None for number in range(5000)}, 2),
    "shared tuples": pickle.EMPTY_DICT
    + pickle.dumps(_shared_tuples(), 2)[2:-1]
    + pickle.NONE
    + pickle.SETITEM
    + pickle.STOP,
    "a memo": pickle.NONE + pickle.PUT + str(COLLIDING[-1]).encode() + b"\n" + pickle.STOP,
    "a far memo": pickle.NONE + pickle.LONG_BINPUT + b"\xff" * 4 + pickle.STOP,
}


@pytest.mark.parametrize("content", SLOW_KEYS.values(), ids=SLOW_KEYS)
def test_keys_that_take_long_are_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    with pytest.raises(TeacherError, match=r"not a readable weights file: .*(keys?|memo) "):
        read_state(path)


def test_keys_of_genuine_files_pass(tmp_path: Path):
    """States of optimizers are keyed by small numbers, histories by anything plain."""
    whole = {
        "state_dict": {"proj": torch.ones(2)},
        "optimizer": {"state": {number: {"step": number} for number in range(6000)}},
        "history": {("val", 3): 0.5, None: 1, 0.25: 2, -1: 3, b"raw": 4, True: 5},
        "names": {"a", "b"},
    }
    torch.save(whole, tmp_path / "w.pth")
    assert list(read_state(tmp_path / "w.pth")) == ["proj"]
