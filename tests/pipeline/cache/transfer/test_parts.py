"""Ranges of views as users write them."""

import pytest

from pipeline.cache.transfer.parts import parse_views
from rsmtdf_core.errors import (
    ConfigError,
)


@pytest.mark.parametrize(
    ("text", "views"),
    [("0:4", range(4)), ("4:", range(4, 2**31)), (":4", range(4)), ("3:4", range(3, 4))],
)
def test_ranges_of_views_are_read(text, views):
    assert parse_views(text) == views


@pytest.mark.parametrize("text", ["", "4", "4:4", "5:4", "-1:3", "a:b", "0:4:2", "0:0", ":0"])
def test_invalid_ranges_of_views_are_refused(text):
    with pytest.raises(ConfigError, match="not a range of view numbers"):
        parse_views(text)
