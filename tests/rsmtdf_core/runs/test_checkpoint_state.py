"""A checkpoint's state names the checkpoint's files and step, or is refused."""

import pytest

from rsmtdf_core.errors import RunError
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.runs.checkpoint_state import (
    FILES,
    FORMAT,
    STATE,
    checkpoint_fingerprint,
    checkpoint_name,
    read_state,
)
from rsmtdf_core.runs.seals import write_sealed_json

DIGESTS = {name: fingerprint(name) for name in FILES}
WHOLE = {"format": FORMAT.number, "step": 12, "epoch": 3, "digests": DIGESTS}


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / checkpoint_name(12)
    folder.mkdir()
    return folder


def test_names_sort_as_their_steps():
    names = [checkpoint_name(step) for step in (9, 10, 999, 1000, 12_345_678)]
    assert names == sorted(names)
    assert names[1] == "step-00000010"


def test_state_and_digests_come_back_apart(checkpoint):
    write_sealed_json(checkpoint / STATE, WHOLE)
    state, digests = read_state(checkpoint)
    assert state == {"format": FORMAT.number, "step": 12, "epoch": 3}
    assert digests == DIGESTS


def test_a_checkpoint_may_be_copied_to_a_folder_of_another_kind_of_name(checkpoint):
    write_sealed_json(checkpoint / STATE, WHOLE)
    assert read_state(checkpoint.rename(checkpoint.parent / "my best"))[0]["step"] == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 1 of the checkpoint, found 99"),
        ({"step": 13}, "step 13"),
        ({"step": True}, "damaged"),
        ({"step": None}, "damaged"),
        ({"digests": None}, "damaged"),
        ({"digests": dict(list(DIGESTS.items())[1:])}, "damaged"),
        ({"digests": DIGESTS | {"../run.json": "a"}}, "damaged"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(checkpoint, change, message):
    write_sealed_json(checkpoint / STATE, WHOLE | change)
    with pytest.raises(RunError, match=message) as caught:
        read_state(checkpoint)
    assert caught.value.where.startswith(str(checkpoint))


def test_a_missing_checkpoint_differs_from_a_missing_state(checkpoint):
    with pytest.raises(RunError, match="no checkpoint"):
        read_state(checkpoint)
    (checkpoint / FILES[0]).write_bytes(b"weights")
    with pytest.raises(RunError, match="missing") as caught:
        read_state(checkpoint)
    assert caught.value.where == str(checkpoint / STATE)


def test_the_fingerprint_depends_on_the_state_and_on_each_file():
    state = {"step": 12}
    names = {checkpoint_fingerprint(state, DIGESTS), checkpoint_fingerprint({"step": 13}, DIGESTS)}
    names |= {checkpoint_fingerprint(state, DIGESTS | {name: "0" * 64}) for name in FILES}
    assert len(names) == 2 + len(FILES)
