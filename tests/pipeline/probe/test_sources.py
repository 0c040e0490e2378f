"""Records in a temporary file."""

import numpy as np
import pytest

from pipeline.probe.sources import Spool
from rsmtdf_core.codecs import declare_codec, fit_codec, make_codec
from rsmtdf_core.errors import StoreError


@pytest.mark.parametrize("name", ["fp16", "int8", "transform"])
def test_a_spool_returns_the_records_of_its_codec(name):
    tokens = np.random.default_rng(0).normal(size=(6, 4, 5, 8)).astype(np.float32)
    declared = declare_codec(name)
    spool = Spool(make_codec(declared, (4, 5, 8), fit_codec(declared, tokens)))
    for record in tokens:
        spool.append(record)
    for row in (5, 0, 3):
        assert np.allclose(
            spool.tokens(row), tokens[row], atol=0.8 if name == "transform" else 0.05
        )
    assert spool.record_bytes == pytest.approx(
        np.mean([spool.codec.encode(record).nbytes for record in tokens])
    )
    spool.close()


def test_a_token_that_is_not_finite_is_refused():
    spool = Spool(make_codec(declare_codec("fp16"), (1, 1, 2), {}))
    with pytest.raises(StoreError, match="finite"):
        spool.append(np.array([[[1, np.nan]]], np.float32))
    spool.close()
