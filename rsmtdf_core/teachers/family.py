"""The interface of a teacher family: a module, or an object, that builds the models of one library."""

from typing import TYPE_CHECKING, Protocol

from rsmtdf_core.kinds import FAMILIES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rsmtdf_core.teachers.settings import TeacherSettings


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
    module: Family = FAMILIES[family].load()
    return module
