"""Messages go to the logger, and bars are shown on request alone."""

import logging

from rsmtdf.progress import reporter


def test_messages_are_logged_at_their_level_without_control_characters(caplog):
    caplog.set_level(logging.INFO, "rsmtdf")
    for progress in (False, True):
        report = reporter(progress=progress)
        report.say("store \x1b[31m%s")
        report.warn("a damaged file")
    levels = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert levels == 2 * [("INFO", r"store \x1b[31m%s"), ("WARNING", "a damaged file")]


def test_a_bar_moves_on_and_keeps_its_last_note(capsys):
    with reporter(progress=True).bar("train", 10, 4) as bar:
        bar.advance(3, note="loss 0.5")
        bar.advance(2)
    shown = capsys.readouterr().err
    assert "train" in shown
    assert "9/10" in shown
    assert "loss 0.5" in shown.split("\r")[-1]


def test_without_progress_no_line_is_shown(capsys):
    with reporter(progress=False).bar("train", 10) as bar:
        bar.advance(3, note="loss 0.5")
    assert capsys.readouterr() == ("", "")
