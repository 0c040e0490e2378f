"""The README's example runs as it is."""

import json
import re
from pathlib import Path

import torch

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_example_runs(extracted, tmp_path, monkeypatch):
    section = README.read_text().partition("## From Python")[2].partition("\n## ")[0]
    [example] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    values = extracted | {"runtime": extracted["runtime"] | {"runs": tmp_path / "runs"}}
    (tmp_path / "mine.yaml").write_text(json.dumps(values, default=str))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example, str(README), "exec"), names)
    assert names["logits"].shape == (1, len(names["model"].class_names), 500, 300)
    assert isinstance(names["model"], torch.nn.Module)
    assert set(names["view"]) >= {"image", "mask", "tokens"}
