"""The distribution of photometric changes: ColorJitter, then grayscale, then Gaussian blur.

It is a separate module because the training loop draws from it too: if the teachers see weak views,
each epoch may draw new photometric changes.
"""

from rsmtdf_core.views.draws import KeyedDraws
from rsmtdf_core.views.settings import ViewSettings
from rsmtdf_core.views.view import Photometric


def draw_photometric(settings: ViewSettings, draws: KeyedDraws) -> Photometric:
    """Draw the change that makes a view strong, without operations of strength 0 as in torchvision."""
    jitter, blur = settings.jitter, settings.blur
    strengths = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    jittered = draws.chance(jitter.p)
    order = [int(operation) for operation in draws.permutation(4) if strengths[operation]]
    factors = [draws.uniform(max(0.0, 1 - strength), 1 + strength) for strength in strengths[:3]]
    hue = draws.uniform(-jitter.hue, jitter.hue)
    grayscale = draws.chance(settings.grayscale)
    blurred = draws.chance(blur.p)
    sigma = draws.uniform(*blur.sigma)
    return Photometric(
        order=tuple(order) if jittered else (),
        brightness=factors[0] if jittered else 1.0,
        contrast=factors[1] if jittered else 1.0,
        saturation=factors[2] if jittered else 1.0,
        hue=hue if jittered else 0.0,
        grayscale=grayscale,
        blur_sigma=sigma if blurred else 0.0,
    )
