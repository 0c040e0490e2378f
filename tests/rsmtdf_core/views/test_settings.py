import pytest
from pydantic import ValidationError

from rsmtdf_core.views.settings import BlurSettings, CutMixSettings, JitterSettings, ViewSettings


def test_the_defaults_are_the_reference_recipe():
    settings = ViewSettings()
    assert (settings.crop, settings.scale, settings.flip) == (518, (0.5, 2.0), 0.5)
    jitter = settings.jitter
    assert (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue) == (0.5,) * 3 + (
        0.25,
    )
    assert (jitter.p, settings.grayscale, settings.blur.p) == (0.8, 0.2, 0.5)
    assert settings.cutmix.aspect == (0.3, 1 / 0.3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ViewSettings(scale=(2.0, 0.5)), "lower bound first"),
        (lambda: ViewSettings(scale=(0.0, 1.0)), "greater than 0"),
        (lambda: ViewSettings(crop=0), "greater than or equal to 14"),
        (lambda: ViewSettings(unlabeled_views=0), "greater than or equal to 1"),
        (lambda: ViewSettings(flip=1.5), "less than or equal to 1"),
        (lambda: ViewSettings(teacher_sees="all"), "'mixed', 'strong' or 'weak'"),
        (lambda: ViewSettings(crops=3), "Extra inputs"),
        (lambda: JitterSettings(hue=0.6), "less than or equal to 0.5"),
        (lambda: BlurSettings(sigma=(0.1, float("inf"))), "finite"),
        (lambda: CutMixSettings(area=(0.1, 0.95)), "lower area"),
        (lambda: CutMixSettings(area=(0.1, 0.5), aspect=(4.0, 5.0)), "nearer to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValidationError, match=message):
        make()
