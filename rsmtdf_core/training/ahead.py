"""Prefetching: prepare the next step's data, and copy it to the device, while the current step computes."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@contextmanager
def ahead(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """Iterate over `items`, with a thread that prepares the next item while the last is in use.

    If preparing an item raises an error, the request for that item raises it.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="rsmtdf-ahead") as thread:

        def prefetched() -> Iterator[T]:
            upcoming = thread.submit(_first, items)
            while item := upcoming.result():
                upcoming = thread.submit(_first, items)
                yield item[0]

        yield prefetched()


def _first(items: Iterator[T]) -> list[T]:
    """Return the next item in a list; an empty list at the end."""
    return list(islice(items, 1))


def on_device(
    items: Iterator[T],
    tensors: Callable[[T], Mapping[str, Tensor]],
    device: torch.device,
    copied: Callable[[T], None] = lambda _: None,
) -> Iterator[tuple[T, dict[str, Tensor]]]:
    """Yield each item with its tensors on `device`, valid until the next item is requested.

    A GPU copies the next item in a separate stream while it computes on the current one, if the item
    is in pinned memory. The loop never waits for computations.

    Args:
        items: the items to copy.
        tensors: returns an item's tensors by name.
        device: the target device.
        copied: called once an item's original tensors are no longer needed.
    """
    if device.type != "cuda":
        for item in items:
            yield item, {name: tensor.to(device) for name, tensor in tensors(item).items()}
            copied(item)
        return
    stream = torch.cuda.Stream(device)

    def moved() -> tuple[T, dict[str, Tensor], torch.cuda.Event] | None:
        item = next(items, None)
        if item is None:
            return None
        with torch.cuda.stream(stream):
            device_tensors = {
                name: tensor.to(device, non_blocking=True) for name, tensor in tensors(item).items()
            }
            done = torch.cuda.Event()
            done.record(stream)
        return item, device_tensors, done

    upcoming = moved()
    while upcoming is not None:
        item, device_tensors, done = upcoming
        # Copied while the last step computed, so only the first item causes a wait.
        done.synchronize()
        copied(item)
        upcoming = moved()
        for tensor in device_tensors.values():
            # Its memory must not be reused before the kernels of this step are done with it.
            tensor.record_stream(torch.cuda.current_stream(device))
        yield item, device_tensors
