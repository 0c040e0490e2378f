"""The interface of a teacher family: a module or an object that builds the models of a library."""

from typing import TYPE_CHECKING, Protocol

from rsmtdf_core.kinds import FAMILIES
from rsmtdf_core.settings import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rsmtdf_core.teachers.settings import TeacherSettings


class Family(Protocol):
    """Interface of a family's module.

    A family may have three more functions:

    * `statistics(settings)` returns the mean and the standard deviation by band, of pixels in 0..1, that the model
      of a teacher was trained with; without it, those of ImageNet.
    * `adaptation(settings, crop)` returns how a model is adapted to the size of its images, a dictionary of text, as
      entries of the teacher's identity. It changes if a new version computes other tokens.
    * `fetch_config(model)` downloads the description of a model to the hub's local cache, before it is needed.
    """

    def hub_file(self, model: str) -> tuple[str, str]:
        """Return the repository and file name of a model's published weights on the Hugging Face hub.

        Raises:
            TeacherError: If the library has no such model, or no weights for it.
        """
        ...

    def build(
        self, settings: "TeacherSettings", crop: int, state: "dict[str, Tensor] | None"
    ) -> "nn.Module":
        """Build a module that maps normalized float images [B, bands, S, S] to tokens [B, H, W, D].

        Args:
            settings: the teacher; it sees as many bands as `settings.seen_bands`.
            crop: side of a view in px; S is `settings.input_size`, or `crop` if that is None.
            state: the weights file's tensors; None keeps the library's initialization.

        Raises:
            TeacherError: If the model, block or image size does not exist, it does not take this number of bands, or
                the weights do not fit.
        """
        ...


def family_module(family: str) -> Family:
    """Import the module of a family and thereby its library."""
    module: Family = FAMILIES[family].load()
    return module


Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of pixels in 0..1, by band."""


def model_statistics(settings: "TeacherSettings") -> Statistics:
    """Return the statistics that a teacher's model was trained with.

    Raises:
        TeacherError: If the library has no such model, or does not know its bands.
    """
    known = getattr(family_module(settings.family), "statistics", None)
    if known is None:
        return IMAGENET_MEAN, IMAGENET_STD
    mean, std = known(settings)
    return tuple(mean), tuple(std)


def input_statistics(settings: "TeacherSettings") -> Statistics:
    """Return the statistics that normalize a teacher's images: those of the settings, or else of the model.

    Raises:
        TeacherError: If the library has no such model.
    """
    if settings.mean is not None and settings.std is not None:
        return settings.mean, settings.std
    mean, std = model_statistics(settings)
    return settings.mean or mean, settings.std or std


def adaptation(settings: "TeacherSettings", crop: int) -> dict[str, str]:
    """Return how a teacher is adapted to the size of its images; empty for a family without such facts."""
    adapt = getattr(family_module(settings.family), "adaptation", None)
    return {} if adapt is None else dict(adapt(settings, crop))
