"""Teachers: frozen models that compute the tokens of views, with an exact identity.

Cached features are only useful if the model that computed them is known exactly. So each teacher has two fingerprints.
The identity is declared without loading the model and is part of a store's address. The probe is the output on a fixed
image; it detects differences that are not declared, such as a library that computes differently.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsmtdf_core.errors import TeacherError
from rsmtdf_core.fingerprints import file_sha256
from rsmtdf_core.roles import Role, deciding
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.teachers.family import adaptation, family_module, input_statistics
from rsmtdf_core.teachers.settings import Precision, TeacherSettings
from rsmtdf_core.teachers.weights import fetch_weights, locate_weights
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.weights.states import read_state

IDENTITY_FORMAT = 1
PROBE_NUMBERS = 256
# The largest `probe_difference` of two probes of the same teacher. Measured, fp32 on a CPU against
# fp64, other kernels and other thread counts: below 3e-6. GELU for QuickGELU in CLIP-L: 8e-3; a
# position embedding resized with antialias in DINOv2-S: 2e-2.
PROBE_TOLERANCE = 1e-3

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_alive: WeakSet["Teacher"] = WeakSet()


class Teacher:
    """A frozen model with its weights, preprocessing and tap, created by `load_teacher`.

    Attributes:
        settings: settings of the teacher.
        crop: side of its views in px.
        shape: shape of the tokens of a view.
        weights_sha256: sha256 of its weights file; "random:<seed>" for random weights.
    """

    def __init__(
        self,
        settings: TeacherSettings,
        crop: int,
        shape: TokenShape,
        module: nn.Module,
        weights_sha256: str,
        device: str,
    ) -> None:
        self.settings = settings
        self.crop = crop
        self.shape = shape
        self.weights_sha256 = weights_sha256
        self._device = torch.device(device)
        self._module = module.eval().requires_grad_(False).to(self._device)
        mean, std = input_statistics(settings)
        self._mean = torch.tensor(mean, device=self._device).reshape(1, -1, 1, 1)
        self._std = torch.tensor(std, device=self._device).reshape(1, -1, 1, 1)
        _alive.add(self)

    def tokens(self, images: Tensor) -> Tensor:
        """Compute tokens, float32 [B, H, W, D] on the teacher's device, of views, uint8 [B, bands, S, S].

        Views have all bands of the student; the teacher sees its own.
        """
        bands = [band - 1 for band in self.settings.seen_bands]
        return self.normalised_tokens(self._normalised(images[:, bands]))

    def normalised_tokens(self, images: Tensor) -> Tensor:
        """Compute tokens, float32 [B, H, W, D], of normalized images with the teacher's bands, float [B, C, S, S].

        If `input_size` is set, images are resized AFTER normalization: bilinear with aligned corners and without
        antialiasing, as in the reference.
        """
        return self._forward(images, self.settings.precision)

    def identity(self) -> dict[str, Any]:
        """Return everything that determines the tokens, as JSON; equal for teachers with the same settings."""
        return _identity(self.settings, self.crop, self.weights_sha256)

    def probe(self) -> list[float]:
        """Return at least `PROBE_NUMBERS` numbers from the tokens of a fixed image, with six digits.

        The probe is always computed in fp32, because rounding to bf16 changes tokens about as much as a wrong position
        embedding and would hide it.
        """
        tokens = self._forward(self._normalised(self._probe_image()), "fp32").flatten()
        sample = tokens[:: max(1, tokens.numel() // PROBE_NUMBERS)]
        return [float(f"{number:.6g}") for number in sample.tolist()]

    def _probe_image(self) -> Tensor:
        return probe_image(self.crop, len(self.settings.seen_bands))

    def _normalised(self, images: Tensor) -> Tensor:
        assert images.dtype == torch.uint8, "views are uint8; normalised_tokens takes floats"
        return (images.to(self._device).float() / 255 - self._mean) / self._std

    def _forward(self, images: Tensor, precision: Precision) -> Tensor:
        expected = (len(self.settings.seen_bands), self.crop, self.crop)
        assert images.shape[1:] == expected, f"not views: {tuple(images.shape)}"
        images = images.to(self._device, torch.float32)
        size = self.settings.input_size or self.crop
        if size != self.crop:
            images = F.interpolate(images, size=(size, size), mode="bilinear", align_corners=True)
        try:
            with torch.inference_mode(), _arithmetic(self._device, precision):
                tokens: Tensor = self._module(images)
        except RuntimeError as failure:
            # The CPU's allocator has no separate class for this error.
            if not isinstance(failure, torch.OutOfMemoryError) and "allocate" not in str(failure):
                raise
            raise TeacherError(
                f"teacher {self.settings.name!r} runs out of memory with {len(images)} images of {size} px",
                remedy=f"lower runtime.teacher_batch, or input_size of teacher {self.settings.name!r}",
            ) from failure
        return tokens.float()


@contextmanager
def _arithmetic(device: torch.device, precision: Precision) -> Iterator[None]:
    """Compute in `precision` and deterministically, independent of the process's global flags."""
    dtype = _DTYPES[precision]
    matmul = torch.get_float32_matmul_precision()
    # Otherwise CUDA may use TF32, with 10 bits of mantissa, in place of fp32.
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.autocast(device.type, dtype, enabled=precision != "fp32"),
            torch.backends.cudnn.flags(True, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)


def load_teacher(settings: TeacherSettings, crop: int, device: str = "cpu") -> Teacher:
    """Load a teacher for views of `crop` px; may download weights from the hub.

    Raises:
        TeacherError: If its weights are unavailable, differ from the declared sha256, or do not fit.
    """
    shape = declared_shape(settings, crop)  # first, because it detects wrong settings cheaply
    family = family_module(settings.family)
    if settings.weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            module = family.build(settings, crop, None)
        return Teacher(settings, crop, shape, module, _random_name(settings), device)
    path, digest = fetch_weights(settings)
    state = read_state(path)
    try:
        module = family.build(settings, crop, state)
    except TeacherError as fault:
        raise TeacherError(fault.what, where=fault.where or path, remedy=fault.remedy) from fault
    return Teacher(settings, crop, shape, module, digest, device)


def declared_identity(settings: TeacherSettings, crop: int) -> dict[str, Any]:
    """Return the identity of the teacher without loading the model.

    Its `weights_sha256` is None if the settings have none and the file is not on this machine.
    """
    return _identity(settings, crop, _declared_weights(settings))


def declared_shape(settings: TeacherSettings, crop: int) -> TokenShape:
    """Return the shape of the tokens of views of `crop` px, from a model on the meta device.

    Raises:
        TeacherError: If the model, block or image size does not exist.
    """
    size = settings.input_size or crop
    try:
        with torch.device("meta"), torch.inference_mode():
            module = family_module(settings.family).build(settings, crop, None).eval()
            images = torch.empty(1, len(settings.seen_bands), size, size)
            _, height, width, channels = module(images).shape
    except TeacherError:
        raise
    except (AssertionError, RuntimeError) as refusal:  # raised by models for unsupported sizes
        raise TeacherError(
            f"{settings.model!r} cannot take an image of {size} px: {refusal}",
            remedy=f"set input_size of teacher {settings.name!r} to the size it was trained at",
        ) from refusal
    return TokenShape(settings.name, height, width, channels, settings.input_size)


def _declared_weights(settings: TeacherSettings) -> str | None:
    if settings.weights == "random":
        return _random_name(settings)
    if settings.weights_sha256 is not None:
        return settings.weights_sha256  # a teacher with another file cannot be loaded
    path = locate_weights(settings)
    return None if path is None else file_sha256(path)


def _random_name(settings: TeacherSettings) -> str:
    return f"random:{settings.seed}"


def _identity(settings: TeacherSettings, crop: int, weights_sha256: str | None) -> dict[str, Any]:
    mean, std = input_statistics(settings)
    # Teachers of the first three bands have no such entry, as in earlier versions.
    bands = {} if settings.seen_bands == (1, 2, 3) else {"bands": list(settings.seen_bands)}
    identity = {
        "format": IDENTITY_FORMAT,
        "library": settings.family,
        "model": settings.model,
        "weights_sha256": weights_sha256,
        "preprocessing": {
            "mean": list(mean),
            "std": list(std),
            **bands,
            "crop": crop,
            "input_size": settings.input_size,
            "resize": None if settings.input_size is None else "bilinear, corners aligned",
            **adaptation(settings, crop),
        },
        "tap": {"block": settings.block, "final_norm": settings.final_norm},
        "precision": settings.precision,
    }
    # Keys that a family adds to those of all teachers.
    family_keys = {
        key: value
        for key, value in deciding(settings, Role.TEACHER).items()
        if key not in TeacherSettings.model_fields
    }
    return identity | {"settings": family_keys} if family_keys else identity


def probe_image(crop: int, bands: int = SHOWN) -> Tensor:
    """Return the probe image, uint8 [1, bands, crop, crop]: ramps, waves and fine texture.

    It is computed in integer arithmetic without random numbers, so that it is the same on every machine.
    """
    y, x = torch.meshgrid(torch.arange(crop), torch.arange(crop), indexing="ij")
    ramp = (x * 200 + y * 55) // crop
    hills = ((x * x + 2 * y * y) // 97) % 128
    texture = (x * 7919 + y * 104729 + x * y * 31) % 64
    channels = [ramp, (hills + texture + 32) % 256, (255 - ramp + hills // 2) % 256]
    further = ((hills * (band + 1) + ramp + texture) % 256 for band in range(len(channels), bands))
    return torch.stack([*channels, *further][:bands]).to(torch.uint8).unsqueeze(0)


def probe_difference(expected: Sequence[float], actual: Sequence[float]) -> float:
    """Return |expected - actual| / |expected|, Euclidean; infinite if the lengths differ or a number is not finite."""
    if len(expected) != len(actual):
        return math.inf
    distance, length = math.dist(expected, actual), math.hypot(*expected)
    if not math.isfinite(distance):
        return math.inf
    if distance == 0:
        return 0.0
    return distance / length if length else math.inf


def live_teachers() -> int:
    """Return the number of teachers in this process, so that training can verify that it has none."""
    return len(_alive)
