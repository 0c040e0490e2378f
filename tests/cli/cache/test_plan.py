"""The output of `rsmtdf cache plan` for made-up measurements."""

import json

import pytest
import typer
from typer.testing import CliRunner

import pipeline.cache.plan
from cli import console
from cli.cache.plan import plan
from pipeline.cache.plan import PlanReport, advise
from pipeline.cache.plan.values import CodecMeasured, Measurements, TeacherMeasured

CODECS = (("fp16", 2e6, True), ("int8", 1e6, True), ("transform", 1e5, False))


def _report(disk_free: int, weights: str) -> PlanReport:
    codecs = tuple(
        CodecMeasured(
            codec=name,
            label=name,
            bytes=size,
            exact=exact,
            meaningful=exact or weights == "own",
            encode_seconds=0,
            unpack_seconds=0,
            decode_seconds=0,
            read_bandwidth=1e9,
            present=0,
        )
        for name, size, exact in CODECS
    )
    teacher = TeacherMeasured(
        teacher="dino", codec="fp16", weights=weights, seconds=0.02, copy_seconds=0, codecs=codecs
    )
    measured = Measurements(
        epochs=6,
        steps_per_epoch=100,
        step_views=16,
        labeled_scenes=10,
        unlabeled_scenes=800,
        labeled_views=4,
        unlabeled_views=4,
        device="cuda",
        cores=8,
        teacher_threads=0,
        render_threads=4,
        extract_devices=1,
        step_seconds=0.3,
        render_seconds=0.001,
        write_bandwidth=1e9,
        cold_reads=True,
        disk_free=disk_free,
        teachers=(teacher,),
    )
    return PlanReport(
        config="tiny", cache="cache", seconds=1, measurements=measured, advice=advise(measured)
    )


def _shown(
    report: PlanReport, monkeypatch: pytest.MonkeyPatch, config: object, *options: str
) -> str:
    seen = []

    def measured(given, reporter):
        seen.append(given)
        return report

    monkeypatch.setattr(pipeline.cache.plan, "plan_cache", measured)
    monkeypatch.setattr(console.out, "_width", 200)
    app = typer.Typer()
    app.command()(plan)
    result = CliRunner().invoke(app, [str(config), *options])
    assert result.exit_code == 0, result.output
    assert [config.name for config in seen] == ["demo"]
    return result.output


def test_the_recommendation_can_be_pasted(monkeypatch):
    shown = _shown(_report(2**40, "own"), monkeypatch, "demo")
    assert "cache: --set teachers.dino.codec=fp16 --set views.unlabeled_views=6" in shown
    assert "speed-up" in shown
    assert "one training, no validations" in shown
    assert "pays after trainings" in shown
    assert "RANDOM" not in shown


def test_no_cache_is_a_recommendation_too(monkeypatch):
    shown = _shown(_report(2**20, "random"), monkeypatch, "demo")
    assert "do not cache: --set objective.teachers=online" in shown
    assert "does not fit" in shown
    assert "RANDOM WEIGHTS" in shown
    assert "(random weights)" in shown


def test_json_is_the_whole_report(monkeypatch):
    report = _report(2**40, "own")
    shown = _shown(report, monkeypatch, "demo", "--json", "--cache", "elsewhere")
    assert PlanReport.model_validate(json.loads(shown)) == report
