"""Protocols are found by name, and packaged manifests list the protocols that they need."""

import pytest

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.protocols.find import find_protocols
from rsmtdf_core.kinds import PROTOCOLS
from rsmtdf_core.scenes.manifest import load_manifest

from .conftest import many_pixels


def test_names_come_in_the_order_asked_for_and_each_once() -> None:
    found = find_protocols(["dwl", "rsmtdf", "dwl"])
    assert [one.name for one in found] == ["dwl", "rsmtdf"]


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'official'") as caught:
        find_protocols(["rsmtdf", "offical"])
    assert "rsmtdf, official, dwl" in str(caught.value)


def test_all_three_come_to_different_numbers_where_pixels_are_ignored() -> None:
    pixels = many_pixels(1, ("clutter",))
    scores = [rule(pixels.counts, pixels.manifest) for rule in find_protocols(list(PROTOCOLS))]
    assert len({one.scores.miou for one in scores}) == 3
    assert [one.protocol for one in scores] == list(PROTOCOLS)


def test_loveda_says_that_dwl_counts_its_ignored_pixels() -> None:
    assert load_manifest("loveda").protocols.dwl_counts_ignored
    assert not load_manifest("dubai").protocols.dwl_counts_ignored
