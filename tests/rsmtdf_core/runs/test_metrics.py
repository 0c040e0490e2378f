"""A damaged line of metrics costs no other line, and is never read."""

import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.errors import RunError, WriteError
from rsmtdf_core.runs.metrics import Metrics, append_metrics, read_metrics, write_metrics

RECORDS = [{"step": step, "loss": 1 / (step + 1), "name": "\u00e9"} for step in range(5)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write_metrics(path, RECORDS)
    return path


def test_lines_come_back_as_they_were_written(path):
    append_metrics(path, {"step": 5, "loss": math.inf})
    metrics = read_metrics(path, expected=6)
    assert list(metrics.records) == [*RECORDS, {"step": 5, "loss": math.inf}]
    assert metrics.damage is None
    metrics.require_whole()


@given(number=st.integers(0, 4), position=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_a_changed_bit_costs_its_line_alone(tmp_path_factory, number, position, bit):
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    write_metrics(path, RECORDS)
    lines = path.read_bytes().split(b"\n")
    line = bytearray(lines[number])
    line[int(position * len(line))] ^= 1 << bit
    lines[number] = bytes(line)
    path.write_bytes(b"\n".join(lines))
    metrics = read_metrics(path, expected=5)
    assert list(metrics.records) == RECORDS[:number] + RECORDS[number + 1 :]
    assert metrics.damaged[0] == number + 1
    with pytest.raises(RunError, match=f"line {number + 1}") as caught:
        metrics.require_whole()
    assert str(path.parent) in caught.value.remedy


@given(cut=st.integers(1, 10_000))
def test_a_torn_last_line_is_dropped_and_counted_as_missing_only_if_it_was_noted(
    tmp_path_factory, cut
):
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    write_metrics(path, RECORDS)
    content = path.read_bytes()
    path.write_bytes(content[: max(0, len(content) - cut)])
    metrics = read_metrics(path)
    assert list(metrics.records) == RECORDS[: len(metrics.records)]
    assert metrics.damage is None
    missing = len(RECORDS) - len(metrics.records)
    assert read_metrics(path, expected=5).missing == missing
    assert (read_metrics(path, expected=5).damage is None) == (missing == 0)


def test_a_whole_last_line_without_its_line_break_is_kept(path):
    path.write_bytes(path.read_bytes()[:-1])
    assert list(read_metrics(path).records) == RECORDS


def test_a_last_line_whose_line_break_was_changed_is_damaged_and_not_torn(path):
    path.write_bytes(path.read_bytes()[:-1] + b"\x0b")
    assert read_metrics(path).damaged == (5,)


def test_lines_of_earlier_versions_have_no_checksum(path):
    path.write_text('{"step": 0}\n{"step": 1}\n[]\n{"step": "2"}\n')
    metrics = read_metrics(path)
    assert metrics.records == ({"step": 0}, {"step": 1})
    assert metrics.damaged == (3, 4)


def test_a_line_without_a_checksum_among_others_is_damaged(path):
    with path.open("a") as file:
        file.write('{"step": 9}\n')
    assert read_metrics(path).damaged == (6,)


def test_a_missing_file_counts_the_lost_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path).damage is None
    assert read_metrics(path, expected=3).missing == 3


def test_an_unreadable_file_is_reported_with_the_cause(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.mkdir()
    with pytest.raises(RunError, match=r"metrics\.jsonl cannot be read: .*regular"):
        read_metrics(path).require_whole()
    with pytest.raises(WriteError) as caught:
        append_metrics(path, {"step": 0})
    assert caught.value.where == str(path)


def test_the_damage_is_one_sentence(tmp_path):
    damage = Metrics(tmp_path / "m", (), damaged=(1, 2, 3, 4), missing=1).damage
    assert damage == "m has 4 lines damaged (line 1, 2, 3 and more) and 1 line missing"


def test_replacing_lines_is_atomic(path, monkeypatch):
    def fail(*_names):
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WriteError):
        write_metrics(path, [])
    assert path.read_bytes() == before
