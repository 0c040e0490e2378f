"""Verbs on runs return their reports."""

import rsmtdf


def test_results_are_values(run, tmp_path):
    report = rsmtdf.evaluate(run, protocol=["rsmtdf", "official"])
    assert 0 <= report.scores.miou <= 1
    assert (run / "evaluation" / "test-ema" / "report.json").is_file()
    assert rsmtdf.runs(run.parent).runs
    assert rsmtdf.compare([run]).groups
    assert rsmtdf.report([run], tmp_path / "report.html", scenes=1).path.is_file()
    assert rsmtdf.export(run, tmp_path / "out", format="safetensors").file.is_file()
