"""The example of docs/python.md runs as it is."""

import json
import re
from pathlib import Path

import torch

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def test_the_example_runs(extracted, tmp_path, monkeypatch):
    [example] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    values = extracted | {"runtime": extracted["runtime"] | {"runs": tmp_path / "runs"}}
    (tmp_path / "mine.yaml").write_text(json.dumps(values, default=str))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example, str(GUIDE), "exec"), names)
    assert names["logits"].shape == (1, len(names["model"].class_names), 500, 300)
    assert isinstance(names["model"], torch.nn.Module)
    assert set(names["view"]) >= {"image", "mask", "tokens"}
