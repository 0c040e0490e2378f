"""The interface of a teacher family: a module or an object that builds the models of a library."""

from typing import TYPE_CHECKING, Protocol

from rsmtdf_core.kinds import FAMILIES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rsmtdf_core.teachers.settings import TeacherSettings


class Family(Protocol):
    """Interface of a family's module."""

    def hub_file(self, model: str) -> tuple[str, str]:
        """Return the repository and file name of a model's published weights on the Hugging Face hub.

        Raises:
            TeacherError: If the library has no such model, or no weights for it.
        """
        ...

    def build(
        self, settings: "TeacherSettings", crop: int, state: "dict[str, Tensor] | None"
    ) -> "nn.Module":
        """Build a module that maps normalized float images [B, 3, S, S] to tokens [B, H, W, D].

        Args:
            settings: the teacher.
            crop: side of a view in px; S is `settings.input_size`, or `crop` if that is None.
            state: the weights file's tensors; None keeps the library's initialization.

        Raises:
            TeacherError: If the model, block or image size does not exist, or the weights do not fit.
        """
        ...


def family_module(family: str) -> Family:
    """Import the module of a family and thereby its library."""
    module: Family = FAMILIES[family].load()
    return module
