"""Tokens through a codec and back."""

import numpy as np
import torch

from rsmtdf_core.codecs import declare_codec, make_codec


def restored(name: str, tokens: np.ndarray) -> np.ndarray:
    """Through the record's bytes and back."""
    codec = make_codec(declare_codec(name), tokens.shape, {})
    stored = np.empty(codec.stored_shape, codec.dtype)
    codec.unpack(codec.encode(tokens), stored)
    return codec.decode(torch.from_numpy(stored[None]), "cpu")[0].numpy()
