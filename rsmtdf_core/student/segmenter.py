"""The interface of the models that a method trains, which predict the class of every pixel (tests: test_model.py)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

from torch import Tensor, nn

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.roles import ConfigSettings
from rsmtdf_core.student.settings import StudentSettings
from rsmtdf_core.tokens import TokenShape

TokensOf = Callable[[Tensor], Mapping[str, Tensor]]
"""Computes each teacher's tokens, [B, h, w, D], of images in 0..255, float [B, bands, crop, crop]."""

Statistics = Mapping[str, tuple[Tensor, Tensor]]
"""Mean and standard deviation of each teacher's channels over its store, float32 [D] each."""


class Segmenter(nn.Module, ABC):
    """A model from images to class logits. A method's row in `kinds.METHODS` names the class of its model.

    Attributes:
        bands: number of bands of the images.
        patch: the sides of images are multiples of this number of px.
    """

    bands: int
    patch: int

    @classmethod
    @abstractmethod
    def build(
        cls,
        settings: StudentSettings,
        method: ConfigSettings,
        classes: int,
        crop: int,
        teachers: Sequence[TokenShape],
        bands: int,
    ) -> Self:
        """Build the model of an experiment.

        Args:
            settings: the config's group `student`.
            method: the config's group `objective`, with the method's keys.
            classes: number of classes.
            crop: side of the training views, px.
            teachers: shapes of the teachers' tokens.
            bands: number of image bands; the teachers see the first three.

        Raises:
            ConfigError: If the settings do not fit the views.
        """

    @abstractmethod
    def normalise(self, images: Tensor) -> Tensor:
        """Convert uint8 images [B, bands, H, W] to the float32 input of `logits`."""

    @abstractmethod
    def logits(self, images_BCHW: Tensor) -> Tensor:
        """Compute logits [B, classes, H, W] of normalized images."""

    def pretrained(self) -> Iterable[nn.Parameter]:
        """Return the parameters that start from pretrained weights and have the lower learning rate."""
        return ()

    def pretrained_stages(self) -> Sequence[Iterable[nn.Parameter]]:
        """Return the parameters of `pretrained` by stage, from the input on, for layer-wise decay."""
        return [self.pretrained()]

    @property
    @abstractmethod
    def last_layer(self) -> tuple[str, str]:
        """Names of the tensors whose shape depends on the number of classes: weight and bias."""

    def checkpoint_activations(self, enabled: bool) -> None:
        """Enable or disable activation checkpointing.

        Raises:
            ConfigError: If the model does not support it.
        """
        if enabled:
            raise ConfigError(
                f"a {type(self).__name__} has no encoder whose activations could be recomputed",
                where="runtime.activation_checkpointing",
                remedy="--set runtime.activation_checkpointing=false",
            )


class TokenSegmenter(Segmenter):
    """A model that predicts from the teachers' tokens. It contains no teacher; `use` gives it access to them."""

    @abstractmethod
    def use(self, tokens_of: TokensOf) -> None:
        """Set the function that computes the tokens of images in `logits`."""

    @abstractmethod
    def set_statistics(self, statistics: Statistics) -> None:
        """Set the statistics of the tokens before training; a checkpoint includes them."""
