"""The notebooks run as they are, and become pages."""

import base64

import nbformat
import pytest

from docs.site.notebook_page import notebook_page
from docs.site.run_notebooks import run_notebook
from tests.docs.pages import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = run_notebook(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) >= 3
    assert any(cell.outputs for cell in code)
    kept = nbformat.read(path, as_version=4)
    assert [cell.source for cell in kept.cells] == [cell.source for cell in notebook.cells]


def test_there_are_four_notebooks():
    assert len(NOTEBOOKS) == 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_no_paths_of_a_machine(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    text = path.read_text()
    assert "/tmp/" not in text
    assert "/home/" not in text
    assert str(ROOT) not in text


def test_a_failing_cell_fails(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    path = tmp_path / "bad.ipynb"
    nbformat.write(notebook, path)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        run_notebook(path)


def test_text_code_and_outputs_become_markdown(tmp_path):
    cell = nbformat.v4.new_code_cell("print(1)")
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="1\n"),
        nbformat.v4.new_output(
            "display_data", {"image/png": base64.b64encode(b"PNG").decode(), "text/plain": "<x>"}
        ),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title"), cell])
    path = tmp_path / "page.ipynb"
    nbformat.write(notebook, path)
    text, pictures = notebook_page(path)
    assert text == (
        "# Title\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n![Output of the cell above](page-0.png)\n"
    )
    assert pictures == {"page-0.png": b"PNG"}
