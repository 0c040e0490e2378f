"""The libraries that teachers come from: one module a family, named here and imported when used."""

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rsmtdf_core.teachers.settings import TeacherSettings

FAMILIES = {
    "timm": "rsmtdf_core.teachers.timm_family",
    "open_clip": "rsmtdf_core.teachers.open_clip_family",
}


class Family(Protocol):
    """What a family's module offers."""

    def hub_file(self, model: str) -> tuple[str, str]:
        """Repository and file name of a model's own weights on the Hugging Face hub.

        Raises:
            TeacherError: the library has no such model, or no weights for it.
        """
        ...

    def build(
        self, settings: "TeacherSettings", crop: int, state: "dict[str, Tensor] | None"
    ) -> "nn.Module":
        """A module from normalised float images [B, 3, S, S] to tokens [B, H, W, D].

        Args:
            settings: the teacher.
            crop: side of a view in px; S is `settings.input_size` or, without one, `crop`.
            state: the weights file's tensors; None leaves the library's own initialisation.

        Raises:
            TeacherError: the model, block or image size does not exist, or the weights do not fit.
        """
        ...


def family_module(family: str) -> Family:
    """The module of a family, which imports its library."""
    return cast("Family", import_module(FAMILIES[family]))
