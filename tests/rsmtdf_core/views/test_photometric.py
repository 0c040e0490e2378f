import numpy as np
import pytest

from rsmtdf_core.views.draws import KeyedDraws
from rsmtdf_core.views.photometric import draw_photometric
from rsmtdf_core.views.settings import BlurSettings, JitterSettings, ViewSettings


@pytest.fixture(scope="module")
def changes():
    return [draw_photometric(ViewSettings(), KeyedDraws(seed)) for seed in range(2000)]


def test_each_change_has_the_frequency_of_the_settings(changes):
    assert np.mean([bool(change.order) for change in changes]) == pytest.approx(0.8, abs=0.04)
    assert np.mean([change.grayscale for change in changes]) == pytest.approx(0.2, abs=0.04)
    assert np.mean([change.blur_sigma > 0 for change in changes]) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factors_fill_one_half_to_one_and_a_half(changes, name):
    factors = [getattr(change, name) for change in changes if change.order]
    assert min(factors) == pytest.approx(0.5, abs=0.01)
    assert max(factors) == pytest.approx(1.5, abs=0.01)
    assert np.mean(factors) == pytest.approx(1.0, abs=0.04)


def test_hue_and_sigma_fill_their_ranges(changes):
    hues = [change.hue for change in changes if change.order]
    assert (min(hues), max(hues)) == pytest.approx((-0.25, 0.25), abs=0.01)
    sigmas = [change.blur_sigma for change in changes if change.blur_sigma]
    assert (min(sigmas), max(sigmas)) == pytest.approx((0.1, 2.0), abs=0.02)


def test_jitter_comes_in_every_order(changes):
    orders = {change.order for change in changes} - {()}
    assert len(orders) == 24
    assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2, 3)}


def test_views_without_jitter_have_neutral_factors(changes):
    still = [change for change in changes if not change.order]
    parameters = {(c.brightness, c.contrast, c.saturation, c.hue) for c in still}
    assert parameters == {(1.0, 1.0, 1.0, 0.0)}


def test_operations_of_no_strength_are_left_out():
    settings = ViewSettings(jitter=JitterSettings(p=1.0, hue=0.0, contrast=0.0))
    change = draw_photometric(settings, KeyedDraws(0))
    assert sorted(change.order) == [0, 2]


def test_strengths_above_1_never_give_negative_factors():
    settings = ViewSettings(jitter=JitterSettings(p=1.0, brightness=3.0), blur=BlurSettings(p=0.0))
    changes = [draw_photometric(settings, KeyedDraws(seed)) for seed in range(200)]
    assert 0 <= min(change.brightness for change in changes) < 0.2
    assert {change.blur_sigma for change in changes} == {0.0}
