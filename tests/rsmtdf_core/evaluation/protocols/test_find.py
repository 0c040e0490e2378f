"""Protocols are found by name, and packaged manifests list the protocols that they need."""

import pytest

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.evaluation.protocols.find import find_protocols
from rsmtdf_core.kinds import PROTOCOLS
from rsmtdf_core.scenes.manifest import load_manifest

from .conftest import many_pixels


def test_names_come_in_the_order_asked_for_and_each_once() -> None:
    rules = find_protocols(["dwl", "rsmtdf", "dwl"])
    assert [protocol.name for protocol in rules] == ["dwl", "rsmtdf"]


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'official'") as caught:
        find_protocols(["rsmtdf", "offical"])
    assert "rsmtdf, official, dwl" in str(caught.value)


def test_all_three_give_different_numbers_if_pixels_are_ignored() -> None:
    pixels = many_pixels(1, ("clutter",))
    scores = [rule(pixels.counts, pixels.manifest) for rule in find_protocols(list(PROTOCOLS))]
    assert len({score.scores.miou for score in scores}) == 3
    assert [score.protocol for score in scores] == list(PROTOCOLS)


def test_loveda_notes_that_dwl_counts_its_ignored_pixels() -> None:
    assert load_manifest("loveda").protocols.dwl_counts_ignored
    assert not load_manifest("dubai").protocols.dwl_counts_ignored
