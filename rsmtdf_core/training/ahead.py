"""One step ahead: what the next step needs is made, and copied to the device, while this one computes."""

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
    """The same items, the next one made by a thread while the last is in use.

    What making an item raises is raised when that item is asked for.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="rsmtdf-ahead") as thread:

        def taken() -> Iterator[T]:
            coming = thread.submit(_first, items)
            while item := coming.result():
                coming = thread.submit(_first, items)
                yield item[0]

        yield taken()


def _first(items: Iterator[T]) -> list[T]:
    """The next item, alone in a list; an empty list at the end."""
    return list(islice(items, 1))


def on_device(
    items: Iterator[T],
    tensors: Callable[[T], Mapping[str, Tensor]],
    device: torch.device,
    copied: Callable[[T], None] = lambda _: None,
) -> Iterator[tuple[T, dict[str, Tensor]]]:
    """Each item with its tensors on `device`; they may be used until the next one is asked for.

    A GPU copies the next item on a stream of its own while it computes on this one; pinned memory lets
    it. The loop never waits for what it computes.

    Args:
        items: what to copy.
        tensors: an item's tensors by name.
        device: where they are wanted.
        copied: called once an item's own tensors are not needed any more.
    """
    if device.type != "cuda":
        for item in items:
            yield item, {name: one.to(device) for name, one in tensors(item).items()}
            copied(item)
        return
    stream = torch.cuda.Stream(device)

    def moved() -> tuple[T, dict[str, Tensor], torch.cuda.Event] | None:
        item = next(items, None)
        if item is None:
            return None
        with torch.cuda.stream(stream):
            there = {k: one.to(device, non_blocking=True) for k, one in tensors(item).items()}
            done = torch.cuda.Event()
            done.record(stream)
        return item, there, done

    coming = moved()
    while coming is not None:
        item, there, done = coming
        # Copied while the last step computed: only the first one is waited for.
        done.synchronize()
        copied(item)
        coming = moved()
        for tensor in there.values():
            # Its memory must not be given out again before this step's kernels are through with it.
            tensor.record_stream(torch.cuda.current_stream(device))
        yield item, there
