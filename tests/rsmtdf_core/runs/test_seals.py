"""A file of a run that was changed after it was written is never read as if it were whole."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import RunError
from rsmtdf_core.runs.seals import (
    is_whole_text,
    promised_text,
    read_sealed_json,
    sealed_line,
    sealed_text,
    unsealed_line,
    write_sealed_json,
    write_sealed_text,
)

FIELDS = st.dictionaries(
    st.text(max_size=8).filter(lambda name: name != "fingerprint"),
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    max_size=4,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("seals") / "file"


@given(value=FIELDS)
def test_an_object_comes_back_as_it_was_written(path, value):
    write_sealed_json(path, value)
    assert read_sealed_json(path, ()) == value


@given(value=FIELDS, position=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_a_changed_bit_is_refused_or_has_no_effect(path, value, position, bit):
    write_sealed_json(path, value)
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        read = read_sealed_json(path, ())
    except RunError:
        return
    assert read == value  # a space became another white space, or an escape is spelled otherwise


@pytest.mark.parametrize("constant", ["NaN", "Infinity"])
def test_a_number_that_json_does_not_have_is_damage(path, constant):
    path.write_text(f'{{"fingerprint": "a", "loss": {constant}}}\n')
    with pytest.raises(RunError, match="damaged"):
        read_sealed_json(path, ("loss",))


def test_a_file_of_an_earlier_version_may_have_the_keys_of_that_version_alone(path):
    path.write_text('{"format": 1, "status": "running"}\n')
    assert read_sealed_json(path, ("format", "status")) == {"format": 1, "status": "running"}
    with pytest.raises(RunError, match="damaged"):
        read_sealed_json(path, ("format",))


@given(text=st.text(), other=st.text())
def test_a_text_is_whole_until_it_is_changed(path, text, other):
    write_sealed_text(path, text)
    assert is_whole_text(path)
    header, content = path.read_bytes().split(b"\n", 1)
    assert content == text.encode()
    assert promised_text(path) == header + b"\n"
    path.write_bytes(header + b"\n" + other.encode())
    assert is_whole_text(path) == (other == text)


def test_a_text_without_a_first_line_has_no_promise(path):
    path.write_text("name: tiny\n")
    assert is_whole_text(path)
    assert promised_text(path) is None
    path.unlink()
    assert promised_text(path) is None
    with pytest.raises(RunError, match="missing"):
        is_whole_text(path)


def test_bytes_that_are_no_text_are_not_whole(path):
    path.write_bytes(sealed_text("a").split(b"\n")[0] + b"\n\xff")
    assert not is_whole_text(path)


@given(value=FIELDS)
def test_a_line_carries_its_checksum_as_json(value):
    text = json.dumps(value)
    line = sealed_line(text)
    if value:
        parsed = json.loads(line)
        assert parsed.pop("crc32") >= 0
        assert parsed == value
    assert unsealed_line(line.encode()) == text.encode()


@given(value=FIELDS, position=st.floats(0, 0.999), bit=st.integers(0, 7), cut=st.integers(1, 40))
def test_a_damaged_line_is_none(value, position, bit, cut):
    line = bytearray(sealed_line(json.dumps(value)).encode())
    assert unsealed_line(bytes(line[:-cut])) is None
    line[int(position * len(line))] ^= 1 << bit
    assert unsealed_line(bytes(line)) is None
