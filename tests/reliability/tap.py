"""Intercepts every open, write, sync, rename and truncation of files below a folder.

    with tapped(folder, hook): ...

`hook(op, path, act, half)` is called instead of each; `act()` does it, `half()` writes half of what a
write would. Operations: "read" and "open" (for writing), "write", "truncate", "sync", "rename",
"mkdir", "remove".
"""

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@contextmanager
def tapped(root: Path, hook: Callable[..., Any]) -> Iterator[None]:  # noqa: C901 - one closure a call
    """Call `hook` for whatever happens below `root` in this process."""
    real_open, real_os = io.open, {name: getattr(os, name) for name in _OS}

    def below(path: Any) -> str | None:
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")  # noqa: PTH115 - pathlib may be watched
        path = os.fspath(path)
        return path if path == str(root) or path.startswith(f"{root}/") else None

    class Raw(io.FileIO):
        """Unbuffered, so that each write is a separate call."""

        def write(self, data: Any) -> int:
            def half() -> None:
                io.FileIO.write(self, bytes(data)[: len(bytes(data)) // 2])

            return hook("write", self.name, lambda: io.FileIO.write(self, data), half)

        def truncate(self, size: int | None = None) -> int:
            return hook("truncate", self.name, lambda: io.FileIO.truncate(self, size), None)

    def open_(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
        path = None if isinstance(file, int) else below(file)
        if path is None:
            return real_open(file, mode, *args, **more)
        if not set(mode) & set("wax+"):
            return hook("read", path, lambda: real_open(file, mode, *args, **more), None)
        assert "b" in mode, "text is not written here"
        opener = more.get("opener")
        return hook("open", path, lambda: Raw(path, mode.replace("b", ""), opener=opener), None)

    def os_open(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if below(path) is None:
            return real_os["open"](path, flags, *args, **more)
        op = "open" if flags & _CHANGES else "read"
        return hook(op, below(path), lambda: real_os["open"](path, flags, *args, **more), None)

    def call(name: str, op: str) -> Callable[..., Any]:
        def replaced(target: Any, *args: Any, **more: Any) -> Any:
            def act() -> Any:
                return real_os[name](target, *args, **more)

            def half() -> None:
                data = b"".join(args[0]) if name == "writev" else bytes(args[0])
                real_os["write"](target, data[: len(data) // 2])

            # The name that a rename gives is the one that matters.
            path = below(args[0] if op == "rename" else target)
            return act() if path is None else hook(op, path, act, half)

        return replaced

    with mock.patch.object(io, "open", open_), mock.patch.object(builtins, "open", open_):
        patches = {name: os_open if op is None else call(name, op) for name, op in _OS.items()}
        with mock.patch.multiple(os, **patches):
            yield


_OS = {
    "open": None,
    "write": "write",
    "writev": "write",
    "fsync": "sync",
    "replace": "rename",
    "rename": "rename",
    "ftruncate": "truncate",
    "mkdir": "mkdir",
    "unlink": "remove",
}
