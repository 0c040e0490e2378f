"""Builds the wheel, in which the four top-level folders of the sources are inside the package `rsmtdf`.

In the checkout `cli`, `data_manifests`, `pipeline` and `rsmtdf_core` are top-level packages, and modules import each
other as in `from pipeline.config import load_config`. Names this common must not be installed at the top level of
everyone's environment. So the wheel has `rsmtdf/cli`, `rsmtdf/pipeline` and so on, and each reference to one of the
four gets the prefix `rsmtdf.`. An editable installation uses the checkout as it is. All metadata is in pyproject.toml.
"""

import ast
import re
import shutil
from collections.abc import Collection, Iterator
from itertools import accumulate
from pathlib import Path
from typing import NoReturn

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = "rsmtdf"
NESTED = ("cli", "data_manifests", "pipeline", "rsmtdf_core")

_PREFIX = f"{PACKAGE}.".encode()


class NestedBuild(build_py):
    """Copies the packages as usual, then moves the four packages into `rsmtdf`."""

    def run(self) -> None:
        """Build into `build_lib`; an editable installation needs no build."""
        if self.editable_mode:
            super().run()
            return
        library = Path(self.build_lib)
        # An earlier build may contain modules that were removed from the sources.
        for name in (PACKAGE, *NESTED):
            shutil.rmtree(library / name, ignore_errors=True)
        super().run()
        modules = frozenset(module for name in NESTED for module in dotted_names(library, name))
        for name in NESTED:
            (library / name).rename(library / PACKAGE / name)
        for path in (library / PACKAGE).rglob("*.py"):
            path.write_bytes(prefixed(path.read_bytes(), modules, str(path)))


def dotted_names(folder: Path, package: str) -> Iterator[str]:
    """Iterate over the names of a package in `folder` and of its modules, such as `pipeline.config`."""
    for path in (folder / package).rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def prefixed(source: bytes, modules: Collection[str], path: str = "<source>") -> bytes:
    """Add `rsmtdf.` to each reference to a module of the four packages in the source of a module.

    References are absolute imports, and strings that are the full dotted name of a module, optionally followed by a
    colon and an attribute, as in tables of import paths. All other bytes are unchanged.

    Args:
        source: source of the module, in UTF-8.
        modules: dotted names of the four packages and of all their modules.
        path: path of the module, for errors.

    Raises:
        SyntaxError: If a reference has a form that cannot have a prefix, such as `import pipeline.config`.
    """
    references = _References(source, modules, path)
    references.visit(ast.parse(source, path))
    for offset, text in sorted(references.insertions, reverse=True):
        source = source[:offset] + text + source[offset:]
    return source


class _References(ast.NodeVisitor):
    """Collects the insertions into a source.

    Attributes:
        insertions: byte offsets and the text to insert.
    """

    def __init__(self, source: bytes, modules: Collection[str], path: str) -> None:
        self.insertions: list[tuple[int, bytes]] = []
        self._source = source
        self._modules = modules
        self._path = path
        lines = source.splitlines(keepends=True)
        self._starts = [0, *accumulate(map(len, lines))]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Prefix `from pipeline.config import load_config`; relative imports need no prefix."""
        if node.level == 0 and _is_nested(node.module):
            self._prefix(node, node.module, before=rb"from\s+")

    def visit_Import(self, node: ast.Import) -> None:
        """Prefix `import pipeline` and `import pipeline.config as config`, which bind the same name as before."""
        for alias in node.names:
            if not _is_nested(alias.name):
                continue
            if alias.asname is None:
                if "." in alias.name:
                    self._refuse(node)  # it binds `pipeline`, which would become `rsmtdf`
                end = self._offset(alias.end_lineno, alias.end_col_offset)
                self.insertions.append((end, f" as {alias.name}".encode()))
            self._prefix(alias, alias.name)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Prefix `"pipeline.config"` and `"pipeline.config:load_config"`."""
        if not isinstance(node.value, str) or "." not in node.value:
            return  # "pipeline" may be an ordinary word
        if node.value.partition(":")[0] in self._modules:
            self._prefix(node, node.value, before=rb"[rRuU]?(?:'''|\"\"\"|'|\")")

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Refuse a name that is composed at run time, which cannot be recognized."""
        for value in node.values:
            if not isinstance(value, ast.Constant):
                self.visit(value)
            elif value is node.values[0] and str(value.value).startswith(
                tuple(f"{name}." for name in NESTED)
            ):
                self._refuse(node)

    def _prefix(
        self, node: ast.stmt | ast.expr | ast.alias, name: str | None, before: bytes = b""
    ) -> None:
        pattern = re.compile(before + rb"(?=%b)" % re.escape(str(name).encode()))
        match = pattern.match(self._source, self._offset(node.lineno, node.col_offset))
        if match is None:
            self._refuse(node)
        self.insertions.append((match.end(), _PREFIX))

    def _offset(self, line: int | None, column: int | None) -> int:
        """Return the byte offset of a position of `ast`: lines from 1, columns in bytes."""
        assert line is not None
        assert column is not None
        return self._starts[line - 1] + column

    def _refuse(self, node: ast.stmt | ast.expr | ast.alias) -> NoReturn:
        start = self._offset(node.lineno, node.col_offset)
        line = self._source[start:].partition(b"\n")[0].decode(errors="replace")
        raise SyntaxError(
            "the wheel's build cannot prefix this reference: write `from package import module`, and a module's name "
            "as one plain string",
            (self._path, node.lineno, node.col_offset + 1, line),
        )


def _is_nested(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in NESTED


if __name__ == "__main__":
    setup(cmdclass={"build_py": NestedBuild})
