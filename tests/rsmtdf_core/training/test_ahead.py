import threading

import pytest
import torch

from rsmtdf_core.training.ahead import ahead, on_device


def test_the_next_item_is_made_while_the_last_is_in_use():
    prepared = threading.Event()

    def items():
        yield "first"
        prepared.set()
        yield "second"

    with ahead(items()) as taken:
        assert next(taken) == "first"
        prepared.wait()
        assert list(taken) == ["second"]


def test_an_error_comes_with_the_item_that_it_concerns():
    def items():
        yield 1
        raise ValueError("the second item")

    with ahead(items()) as taken:
        assert next(taken) == 1
        with pytest.raises(ValueError, match="the second item"):
            next(taken)


def test_items_that_nobody_takes_do_not_hold_up_the_end():
    with ahead(iter(range(1000))) as taken:
        assert next(taken) == 0


def test_a_cpu_uses_tensors_without_copying_and_returns_each_item_when_the_next_is_taken():
    given_back = []
    items = [torch.full((2,), float(number)) for number in range(3)]
    device = torch.device("cpu")
    for index, (item, tensors) in enumerate(
        on_device(iter(items), lambda item: {"own": item}, device, given_back.append)
    ):
        assert tensors["own"].data_ptr() == item.data_ptr()
        assert len(given_back) == index
    assert len(given_back) == 3
