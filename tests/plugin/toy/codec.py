"""The codec."""

import numpy as np
from rsmtdf.rsmtdf_core.codecs.base import PlainCodec


class Fixed(PlainCodec):
    """Tokens as int16 [H, W, D] in steps of 1 / `steps`."""

    dtype = np.dtype("<i2")

    def __init__(self, declared, record_shape, parameters):
        super().__init__(declared, record_shape, parameters)
        self._steps = declared["steps"]
        self.label = f"fixed-{self._steps}"

    def encode(self, tokens):
        return np.rint(tokens * self._steps).astype(self.dtype).reshape(-1).view(np.uint8)

    def decode(self, batch, device):
        return batch.to(device).float() / self._steps
