"""Verbs print nothing, log warnings, and show bars on request."""

import rsmtdf


def test_nothing_is_printed(values, tmp_path, capfd):
    rsmtdf.extract_features(values, cache=tmp_path / "cache")
    run = rsmtdf.train(values, tmp_path / "run", cache=tmp_path / "cache", max_steps=1).run
    rsmtdf.evaluate(run)
    rsmtdf.predict(run, values["data"]["root"] / "images", tmp_path / "maps")
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_bars_are_shown_on_request_alone(run, capsys):
    rsmtdf.evaluate(run, split="val")
    assert "evaluate val" not in capsys.readouterr().err
    rsmtdf.evaluate(run, split="val", progress=True)
    assert "evaluate val: 100%" in capsys.readouterr().err


def test_warnings_are_logged(extracted, tmp_path, caplog):
    rsmtdf.train(extracted, tmp_path / "run", max_steps=1)
    assert "RANDOM WEIGHTS" in caplog.text
    assert {record.name for record in caplog.records} == {"rsmtdf"}
