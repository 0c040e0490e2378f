import os

import pytest

from rsmtdf_core.words import bytes_text, counted, one_line, printable, readable, shortened


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**40, "1.0 TiB")]
)
def test_bytes_for_people(count, text):
    assert bytes_text(count) == text


def test_one_is_not_many():
    assert [counted(count, "run") for count in (0, 1, 2, 1234)] == [
        "0 runs",
        "1 run",
        "2 runs",
        "1,234 runs",
    ]


def test_names_are_text_whatever_their_bytes_are():
    for name in ("plain", "café", "東京"):
        assert readable(name) == name
        assert readable(os.fsdecode(name.encode())) == name
    assert readable(os.fsdecode("café".encode("latin-1"))) == "café"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("scene[north] café 東京.tif", "scene[north] café 東京.tif"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("\udce9", "\\udce9"),
        ("a\nb", "a\nb"),
    ],
)
def test_invisible_characters_are_escaped(name, shown):
    assert printable(name) == shown
    assert one_line(name) == shown.replace("\n", "\\n")


@pytest.mark.parametrize("text", ["", "short", "a much longer name", "x" * 100])
@pytest.mark.parametrize("most", [5, 8, 17, 18])
def test_a_shortened_text_keeps_both_ends(text, most):
    short = shortened(text, most)
    assert len(short) == min(len(text), most)
    assert short == text or (short[0], short[-1], short.count("…")) == (text[0], text[-1], 1)
