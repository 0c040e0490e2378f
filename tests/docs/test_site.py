"""The site builds without a warning and without the network."""

import re
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT

FOREIGN = re.compile(
    r"""<(?:script|img|iframe|source|link(?![^>]*rel="?canonical))\b[^>]*\b(?:src|href)="?(?:https?:)?//""",
)


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        assert not FOREIGN.search(page.read_text()), page.name
    assert "optimiser.layer_decay" in (tmp_path / "reference" / "config.html").read_text()
    assert "rsmtdf cache transcode" in (tmp_path / "reference" / "commands.html").read_text()
    assert not (tmp_path / "site").exists()  # the generators are no pages


def test_the_pattern_finds_foreign_files():
    assert FOREIGN.search('<script src="https://cdn.example/x.js">')
    assert FOREIGN.search("<link href=//fonts.example/x.css rel=stylesheet>")
    assert not FOREIGN.search('<a href="https://arxiv.org/abs/2506.08772">')


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    listed = set(re.findall(r": (\S+\.md)$", navigation, re.MULTILINE))
    generated = {"reference/commands.md", "reference/config.md"}
    docs = ROOT / "docs"
    written = {str(path.relative_to(docs)) for path in docs.rglob("*.md")}
    notebooks = {f"notebooks/{path.stem}.md" for path in (docs / "notebooks").glob("*.ipynb")}
    assert listed == written | generated | notebooks
