"""Token maps compressed like images: rotation, cosine transform, uniform quantization and standard zstd.

`docs/format.md` specifies the records. Only zstd decompression runs on the CPU; the inverse transform runs on the
device that needs the tokens.
"""

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rsmtdf_core.codecs.base import Declared, Packed, Parameters, Shape, Tokens
from rsmtdf_core.codecs.transform_formulas import (
    INT8,
    Basis,
    Integers,
    cosines,
    fit_transform,
    frequency_order,
    quantised,
)
from rsmtdf_core.codecs.zstd_frame import LEVEL, compress, decompress
from rsmtdf_core.errors import StoreError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Clipping to int8 may lose this share of the energy that the quality allows to lose in a record.
_CUT_SHARE = 0.01


class Transform:
    """Quantized coefficients, uint8 [N], compressed for each record.

    With F = H * W frequencies from low to high, the W lowest of them wide:

        high bytes [wide, D] | low bytes [wide, D] | int8 [D, F - wide]

    A wide number q is stored as 2q, or as -2q - 1 if negative. So N = (F + wide) * D.
    """

    dtype: np.dtype[Any] = np.dtype("u1")
    record_bytes = None

    def __init__(self, declared: Declared, record_shape: Shape, parameters: Parameters) -> None:
        self._shape = record_shape
        height, width, channels = record_shape
        self._quality = float(declared["quality"])
        self.label = f"transform-{declared['quality']}"
        self._read(parameters)
        self._order = frequency_order(height, width)
        self.stored_shape: tuple[int, ...] = ((height * width + self._wide) * channels,)
        self.filters: list[dict[str, Any]] = [
            {"name": "zstd", "configuration": {"level": LEVEL, "checksum": False}}
        ]
        self._inverses: dict[torch.device, tuple[Tensor, ...]] = {}

    def _read(self, parameters: Parameters) -> None:
        """Read the parameters.

        Raises:
            ValueError: If a parameter does not fit; the store converts it to an error with its path.
        """
        height, width, channels = self._shape
        for name, (dtype, shape) in {
            "mean": (np.float32, (channels,)),
            "components": (np.float32, (channels, channels)),
            "step": (np.float32, (1,)),
            "wide": (np.int32, (1,)),
            "typical_bytes": (np.int64, (1,)),
        }.items():
            array = parameters.get(name)
            if array is None or array.dtype != dtype or array.shape != shape:
                raise ValueError(f"the transform codec's parameter {name!r} does not fit")
        self._basis = Basis(parameters["mean"], parameters["components"])
        self._step = float(parameters["step"][0])
        self._wide = int(parameters["wide"][0])
        self.typical_bytes = int(parameters["typical_bytes"][0])
        if not (0 < self._step < np.inf and 0 <= self._wide <= height * width):
            raise ValueError("the transform codec's step or wide frequencies do not fit")

    @staticmethod
    def fit(declared: Declared, sample: Tokens) -> Parameters:
        """Fit the parameters to tokens, float32 [n, H, W, D]; 32 views are recommended, because views differ.

        Raises:
            StoreError: If the sample is not finite, or the quality cannot be reached.
        """
        fitted = fit_transform(float(declared["quality"]), sample)
        unsized = {**fitted, "typical_bytes": np.zeros(1, np.int64)}
        codec = Transform(declared, sample.shape[1:], unsized)
        sizes = [codec.encode(view).nbytes for view in sample]
        return {**fitted, "typical_bytes": np.array([round(np.mean(sizes))], np.int64)}

    def encode(self, tokens: Tokens) -> Packed:
        """Transform, quantize and compress tokens.

        Raises:
            StoreError: If a token is not finite, or the view differs so much from the fitted sample that its
                coefficients exceed int16, or that clipping them to int8 would lose more than a hundredth of the energy
                that the quality allows to lose.
        """
        assert tokens.shape == self._shape, tokens.shape
        numbers = quantised(self._basis.coefficients(tokens), self._step)
        ordered = numbers.reshape(-1, self._shape[2])[self._order]
        wide, narrow = ordered[: self._wide], ordered[self._wide :]
        stored = np.empty(self.stored_shape, np.uint8)
        high, low, rest = self._parts(stored)
        folded = np.where(wide < 0, -2 * wide - 1, 2 * wide)
        high[...] = folded >> 8
        low[...] = folded & 255
        cut = np.clip(narrow, -INT8, INT8)
        self._require_faithful(narrow - cut, ordered)
        rest.view(np.int8)[...] = cut.T
        return compress(stored)

    def unpack(self, packed: Packed, out: npt.NDArray[Any]) -> None:
        """Decompress into `out`, uint8 [N]; thread-safe.

        Raises:
            StoreDamagedError: If the bytes are not one zstd frame of N bytes.
        """
        assert out.shape == self.stored_shape
        assert out.flags.c_contiguous
        decompress(packed, out)

    def decode(self, batch: "Tensor", device: "torch.device | str") -> "Tensor":
        """Transfer and convert the numbers, then invert the cosine transform and the rotation in float32."""
        import torch

        height, width, channels = self._shape
        batch = batch.to(device)
        components, mean, rows, columns, order = self._inverse(batch.device)
        with torch.autocast(batch.device.type, enabled=False):
            high, low, rest = self._parts(batch)
            folded = (high.int() << 8) | low.int()
            wide = (folded >> 1) ^ -(folded & 1)
            coefficients = torch.empty(
                (len(batch), channels, height * width), device=batch.device, dtype=torch.float32
            )
            coefficients[..., order[: self._wide]] = wide.transpose(1, 2).float()
            coefficients[..., order[self._wide :]] = rest.view(torch.int8).float()
            # Maps are transposed, [B, D, W, H], until the first product.
            maps = coefficients.view(-1, channels, width, height) @ rows
            maps = maps.transpose(2, 3) @ columns
            return (
                (maps.flatten(2).transpose(1, 2) @ components)
                .add_(mean)
                .view(-1, height, width, channels)
            )

    def _require_faithful(self, lost: Integers, all_numbers: Integers) -> None:
        if not lost.any():
            return
        share = np.square(lost, dtype=np.float64).sum()
        share /= np.square(all_numbers, dtype=np.float64).sum()
        if share > _CUT_SHARE * (1 - self._quality):
            raise StoreError(
                f"cutting a view's fine detail to int8 would lose {share:.2g} of its energy: its "
                "tokens are unlike those that the codec was fitted on",
                remedy="set the teacher's codec to int8",
            )

    def _parts(self, stored: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401 - an array or a tensor
        """Return views of the wide numbers' high bytes, their low bytes, and the other numbers, from [..., N]."""
        channels, lead = self._shape[2], stored.shape[:-1]
        size = self._wide * channels
        planes = (stored[..., :size], stored[..., size : 2 * size])
        high, low = (plane.reshape(*lead, self._wide, channels) for plane in planes)
        rest = prod(self._shape[:2]) - self._wide
        return high, low, stored[..., 2 * size :].reshape(*lead, channels, rest)

    def _inverse(self, device: "torch.device") -> "tuple[Tensor, ...]":
        """Return the matrices for decoding on a device, created once; the components include the step."""
        import torch

        if device not in self._inverses:
            height, width, _ = self._shape
            u, v = self._order // width, self._order % width
            arrays = (
                self._basis.components * np.float32(self._step),
                self._basis.mean,
                cosines(height),
                cosines(width),
                v * height + u,
            )
            self._inverses[device] = tuple(torch.from_numpy(a).to(device) for a in arrays)
        return self._inverses[device]
