"""Each tensor that contains NaN or infinity is named, and no other."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from rsmtdf_core.weights.finite import not_finite

FAULTS = st.sampled_from([None, math.nan, math.inf, -math.inf])
DTYPES = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64])


@given(st.dictionaries(st.text(max_size=5), st.tuples(FAULTS, DTYPES, st.integers(0, 11))))
def test_the_tensors_with_a_fault_are_named_in_their_order(drawn):
    tensors = {}
    for name, (fault, dtype, position) in drawn.items():
        tensor = torch.ones(3, 4, dtype=dtype)
        if fault is not None:
            tensor.view(-1)[position] = fault
        tensors[name] = tensor
    assert not_finite(tensors) == [name for name, (fault, *_) in drawn.items() if fault is not None]


def test_whole_numbers_are_finite():
    assert not_finite({"steps": torch.tensor([2**62]), "mask": torch.tensor([True])}) == []
