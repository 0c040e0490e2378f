"""Fixtures for the tests of interrupted trainings."""

import pytest

import pipeline.train.session
from tests.pipeline.helpers import Killed


@pytest.fixture
def kill_after(monkeypatch):
    """Makes the next training die after so many of its steps, at the worst moment: before anything is saved."""

    def arm(steps):
        after, done = pipeline.train.session.Session._after, []

        def die(session, record):
            done.append(record.step)
            if len(done) > steps:
                raise Killed
            after(session, record)

        monkeypatch.setattr(pipeline.train.session.Session, "_after", die)
        return lambda: monkeypatch.setattr(pipeline.train.session.Session, "_after", after)

    return arm
