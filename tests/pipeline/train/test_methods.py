"""Every switch of a method trains, changes the losses, and needs only the features it uses."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

import pipeline.train.setup
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from pipeline.train.features import find_features
from pipeline.train.run import train
from rsmtdf_core.errors import ConfigError, StoreError
from rsmtdf_core.runs.folder import open_run
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.training.schedule import BatchSchedule
from tests.pipeline.helpers import Messages, near

SHORT = "optimiser.epochs=1"


def losses(run: Path) -> list[dict]:
    return [line for line in open_run(run).read_metrics() if "loss" in line]


def trained(config, name="run") -> list[dict]:
    return losses(train(config, config.runtime.runs / name).run)


@pytest.fixture
def extracted(make_config):
    """The small experiment's config maker, with its features in the cache."""
    extract(make_config())
    return make_config


@pytest.mark.parametrize("method", ["supervised", "fixmatch", "unimatch-v2", "rs-mtdf"])
def test_methods_log_their_losses_and_the_time_of_each_phase(extracted, method):
    lines = trained(extracted(f"objective.method={method}", SHORT))
    names = {
        "supervised": {"loss"},
        "fixmatch": {"loss", "loss_x", "loss_u", "trusted"},
        "unimatch-v2": {"loss", "loss_x", "loss_u", "trusted"},
        "rs-mtdf": {"loss", "loss_x", "loss_u", "loss_distill", "trusted"},
    }[method]
    assert names <= lines[0].keys()
    assert all(np.isfinite([line[name] for name in names]).all() for line in lines)
    phases = {"data", "student", "loss", "backward", "optimiser", "ema"}
    assert set(lines[0]["seconds"]) == phases | {"step"}
    whole = lines[-1]["seconds"]
    assert sum(whole[phase] for phase in phases) == pytest.approx(whole["step"], rel=1e-3)


def test_a_line_has_the_means_of_its_interval(extracted):
    each = trained(extracted(SHORT), "each")
    lines = trained(extracted(SHORT, "runtime.log_every=3"), "means")
    assert [(line["step"], line["interval"]) for line in lines] == [(0, 1), (3, 3)]
    for line, steps in zip(lines, (each[:1], each[1:]), strict=True):
        for name in ("loss", "loss_x", "loss_u", "loss_distill", "trusted"):
            mean = np.mean([step[name] for step in steps])
            assert line[name] == pytest.approx(mean, rel=1e-6, abs=1e-9), name
    assert lines[0]["explained_variance"] == each[0]["explained_variance"]
    assert lines[1]["explained_variance"].keys() == {"vit", "cnn"}
    # A student whose translators are random explains less than the teacher's mean does.
    assert all(share < 0.5 for share in lines[1]["explained_variance"].values())
    shares = [step["trusted_by_class"] for step in each[1:]]
    for name, share in lines[1]["trusted_by_class"].items():
        of_steps = [by_class[name] for by_class in shares if by_class[name] is not None]
        assert (share is None) == (not of_steps)
        assert share is None or min(of_steps) <= share <= max(of_steps)


def test_pseudo_labels_without_a_trusted_pixel_warn_with_the_remedy(make_config):
    messages = Messages()
    settings = ("objective.method=fixmatch", "objective.confidence=1", "runtime.log_every=2")
    # An epoch has 4 steps, and the warning needs at least 20.
    train(make_config(*settings, "optimiser.epochs=6"), reporter=messages)
    [line] = [line for line in messages.lines if "no pixel was trusted" in line]
    assert "lower objective.confidence (now 1)" in line


SWITCHES = {
    "loss": ["objective.distillation.loss=cosine"],
    "smooth": ["objective.distillation.loss=smooth-l1"],
    "standardised": ["objective.distillation.loss=standardised-mse"],
    "centered": ["objective.distillation.targets=centered"],
    "centered cosine": [
        "objective.distillation.targets=centered",
        "objective.distillation.loss=cosine",
    ],
    "phi-s": ["objective.distillation.targets=phi-s"],
    "labeled": ["objective.distillation.samples=labeled"],
    "unlabeled": ["objective.distillation.samples=unlabeled"],
    "padding": ["objective.distillation.padding=false"],
    "fusion off": ["student.fusion.mode=off"],
    "attention": ["student.fusion.mode=attention"],
    "pyramid": ["student.translator_input=pyramid"],
    "pyramid of a transformer": ["student.translator_input=pyramid", "student.encoder=test_vit"],
    "weights": ["student.fusion.teacher_weights={vit: 0.15, cnn: 0.05}"],
    "one teacher": ["objective.distillation.teachers=[cnn]"],
    # The encoder with a grid that a second pass at the teacher's size would give.
    "shared pass": ["student.second_encoding=shared", "student.encoder=test_vit"],
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_trains_and_changes_the_losses(extracted, switch):
    encoder = [key for key in SWITCHES[switch] if key.startswith("student.encoder")]
    plain = trained(extracted(SHORT, *encoder), "plain")
    switched = trained(extracted(SHORT, *SWITCHES[switch]), "switched")
    assert len(plain) == len(switched) == 4
    assert all(np.isfinite(line["loss"]) for line in switched)
    assert any(
        before["loss_distill"] != after["loss_distill"] or before["loss_x"] != after["loss_x"]
        for before, after in zip(plain, switched, strict=True)
    )


def test_teachers_that_are_left_out_need_no_features(make_config):
    only = "objective.distillation.teachers=[vit]"
    extract(
        make_config(
            "teachers=[{name: vit, family: timm, model: test_vit, weights: random, input_size: 80}]"
        )
    )
    config = make_config(only, SHORT)
    lines = trained(config)
    assert all(line["loss_distill"] > 0 for line in lines)
    with pytest.raises(StoreError, match="expected test_efficientnet, found test_vit"):
        train(make_config(SHORT), config.runtime.runs / "both")


def test_a_teacher_that_the_config_lacks_cannot_be_chosen(make_config):
    with pytest.raises(ConfigError, match="sam"):
        make_config("objective.distillation.teachers=[sam]")


def test_the_weight_in_force_is_logged_from_the_first_step_to_the_last(extracted):
    keys = ("weight=2", "final_weight=0", "teacher_weights={vit: 0.5}")
    lines = trained(extracted(SHORT, *(f"objective.distillation.{key}" for key in keys)))
    assert [line["weight_distill"] for line in lines] == pytest.approx([2, 4 / 3, 2 / 3, 0])
    for line in lines:
        total = line["loss_x"] + line["loss_u"] + line["weight_distill"] * line["loss_distill"]
        assert line["loss"] == pytest.approx(total / 3, rel=1e-5)


@pytest.mark.parametrize(
    "key", ["weight=-1", "teacher_weights={sam: 1}", "teacher_weights={vit: 0, cnn: 0}"]
)
def test_weights_that_cannot_be_are_refused_by_their_key(make_config, key):
    with pytest.raises(ConfigError, match=rf"objective\.distillation\.{key.partition('=')[0]}"):
        make_config(f"objective.distillation.{key}")


IMBALANCE = (
    "objective.class_weights=balanced",
    "objective.region_loss=dice",
    "objective.region_weight=0.5",
)
ADAPTIVE = ("objective.thresholds=self-adaptive", "objective.threshold_momentum=0.8")


def test_balanced_weights_are_those_of_the_labeled_masks_and_shown_at_the_start(make_config):
    reporter = Messages()
    config = make_config("objective.method=supervised", "optimiser.max_steps=1", *IMBALANCE)
    report = train(config, reporter=reporter)
    experiment = plan_experiment(config)
    manifest, reader = experiment.dataset.manifest, SceneReader(experiment.dataset)
    masks = [reader.mask(experiment.plan.scenes[i]) for i in experiment.plan.labeled_scenes]
    counts = np.array(
        [sum((mask == i).sum() for mask in masks) for i in range(len(manifest.classes))]
    )
    assert (counts > 0).sum() > 1
    (line,) = (line for line in reporter.lines if line.startswith("class weights (balanced): "))
    expected = counts.sum() / ((counts > 0).sum() * np.maximum(counts, 1))
    for name, weight, count in zip(manifest.class_names, expected, counts, strict=True):
        assert (f"{name} {weight:.3g}" if count else f"no labeled pixel of {name}") in line
    newest = max((report.run / "checkpoints").iterdir())
    saved = load_file(newest / "optimiser.safetensors")["method/objective.class_weights"]
    np.testing.assert_allclose(saved.numpy()[counts > 0], expected[counts > 0], rtol=1e-5)


def test_a_class_that_the_manifest_lacks_is_refused_before_a_run_folder_is_made(make_config):
    config = make_config("objective.method=supervised", "objective.class_weights={rode: 2}")
    with pytest.raises(ConfigError, match="no class is named rode"):
        train(config)
    assert not config.run_folder.exists()


def test_adaptive_thresholds_trust_other_pixels_than_a_fixed_confidence(make_config):
    settings = ("objective.method=fixmatch", "optimiser.epochs=2", "objective.confidence=0.95")
    fixed = trained(make_config(*settings), "fixed")
    adaptive = trained(make_config(*settings, *ADAPTIVE), "adaptive")
    assert adaptive[0]["trusted"] > fixed[0]["trusted"], "the first threshold is 1 / classes"
    assert all(0 < line["trusted"] <= 1 for line in adaptive)
    first, *later = (line["threshold_by_class"] for line in adaptive)
    assert first == dict.fromkeys(first, pytest.approx(1 / len(first)))
    assert all(0 < threshold <= 1 for line in later for threshold in line.values())
    assert later[-1] != first
    assert not any("threshold_by_class" in line for line in fixed)


@pytest.mark.parametrize("key", ["loss=standardised-mse", "targets=centered", "targets=phi-s"])
def test_losses_with_statistics_need_a_store(make_config, key):
    config = make_config("objective.teachers=online", f"objective.distillation.{key}")
    with pytest.raises(ConfigError, match="only a store of features knows") as refused:
        train(config)
    assert refused.value.where == f"objective.distillation.{key.partition('=')[0]}"


def test_tokens_are_standardized_once(make_config):
    keys = ("loss=standardised-mse", "targets=phi-s")
    with pytest.raises(ConfigError, match="both standardize"):
        make_config(*(f"objective.distillation.{key}" for key in keys))


def test_phi_s_targets_of_a_store_have_unit_variance_and_scaled_distances(extracted):
    experiment = plan_experiment(extracted("objective.distillation.targets=phi-s"))
    device = torch.device("cpu")
    mapped = find_features(experiment, device).targets
    plain = find_features(plan_experiment(extracted()), device).targets
    schedule = BatchSchedule(experiment.plan, 2, 0)
    pairs = []
    for source in (mapped, plain):
        with source.opened(schedule, 0, schedule.steps_per_epoch) as targets_of:
            pairs.append(
                [
                    targets_of(schedule.rows(step), torch.empty(0)).tokens
                    for step in range(schedule.steps_per_epoch)
                ]
            )
    for name in ("vit", "cnn"):
        ours, tokens = (
            torch.cat([step[name].flatten(0, 2) for step in side]).double() for side in pairs
        )
        ratios = torch.pdist(ours[:40]) / torch.pdist(tokens[:40])
        torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios), rtol=1e-3, atol=0)
        # The plan has fewer views than the sample may have, so the variance is that of all of them.
        views = map(mapped._readers[name].tokens, range(len(experiment.plan)))
        every = np.concatenate([view.reshape(-1, view.shape[-1]) for view in views])
        offset, matrix = (mapped.state[f"{name}.{key}"].numpy() for key in ("offset", "matrix"))
        np.testing.assert_allclose(((every - offset) @ matrix).var(axis=0), 1, rtol=1e-3)


@pytest.mark.parametrize("options", [False, True])
@pytest.mark.parametrize("method", ["supervised", "fixmatch", "unimatch-v2", "rs-mtdf"])
def test_a_step_in_parts_is_the_step_in_one_piece(extracted, method, options):
    # No batch norm: its statistics would be each part's own.
    adaptive = () if method == "supervised" else ADAPTIVE
    settings = (
        SHORT,
        f"objective.method={method}",
        "student.encoder=test_vit",
        "optimiser.batch=4",
        *(key for key in (*IMBALANCE, *adaptive) if options),
    )
    whole = trained(extracted(*settings), "whole")
    parts = trained(extracted(*settings, "runtime.accumulate=2"), "parts")
    for expected, line in zip(whole, parts, strict=True):
        for name in expected.keys() & {
            "loss",
            "loss_x",
            "loss_u",
            "loss_distill",
            "loss_region",
            "trusted",
        }:
            assert line[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6), name
        for name in expected.keys() & {
            "trusted_by_class",
            "threshold_by_class",
            "explained_variance",
        }:
            assert near(line[name], expected[name]), name


@pytest.mark.parametrize("encoder", ["test_vit", "test_efficientnet"])
def test_recomputed_activations_do_not_change_the_result(extracted, encoder):
    settings = (SHORT, f"student.encoder={encoder}")
    stored = trained(extracted(*settings), "stored")
    again = trained(extracted(*settings, "runtime.activation_checkpointing=true"), "again")
    for expected, line in zip(stored, again, strict=True):
        assert line["loss"] == pytest.approx(expected["loss"], rel=1e-5)


# A C++ compiler is not everywhere, and inductor takes a minute: `make reliability` has it.
@pytest.mark.parametrize(
    "backend", ["eager", pytest.param("inductor", marks=pytest.mark.reliability)]
)
def test_a_compiled_student_computes_the_same(extracted, monkeypatch, tmp_path, backend):
    monkeypatch.setattr(pipeline.train.setup, "COMPILER", backend)
    # A cache shared with other processes may hold code for another instruction set.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled-code"))
    settings = ("optimiser.max_steps=2", "student.encoder=test_vit")
    eager = trained(extracted(*settings), "eager")
    compiled = trained(extracted(*settings, "runtime.compile=true"), "compiled")
    for expected, line in zip(eager, compiled, strict=True):
        assert line["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    # Under the names of the student that is not compiled, so that any run can read them.
    weights = load_file(
        max((extracted().runtime.runs / "compiled/checkpoints").iterdir()) / "student.safetensors"
    )
    assert not [name for name in weights if "_orig_mod" in name]


def test_cached_and_online_teachers_normalize_images_alike(make_config):
    extract(make_config())
    (cached,) = trained(make_config("optimiser.max_steps=1"), "cached")
    (online,) = trained(make_config("optimiser.max_steps=1", "objective.teachers=online"), "online")
    assert cached["loss_distill"] == pytest.approx(online["loss_distill"], rel=1e-4)


# At this rate the loss falls by a quarter and pixels become trusted, yet training amplifies the rounding of
# tokens little: 1e-4 (fp16) and 4e-4 (int8) were measured. At ten times the rate, chaos decides.
@pytest.mark.slow
@pytest.mark.parametrize(("codec", "limit"), [("fp16", 1e-3), ("int8", 1e-2)])
def test_cached_tokens_give_the_losses_of_online_teachers(make_config, codec, limit):
    codecs = (f"teachers.{name}.codec={codec}" for name in ("vit", "cnn"))
    settings = ("optimiser.epochs=13", "optimiser.lr=0.00005", *codecs)
    config = make_config(*settings)
    extract(config)
    cached = trained(config, "cached")
    online = trained(make_config(*settings, "objective.teachers=online"), "online")
    assert len(cached) == 52
    whole = np.array([step["loss"] for step in online])
    for name in ("loss", "loss_x", "loss_u", "loss_distill"):
        values, expected = (np.array([step[name] for step in run]) for run in (cached, online))
        # A part may be near 0, so that a single pixel that crosses the confidence matters.
        assert (np.abs(values - expected) <= limit * whole).all(), name
    assert cached[0]["loss_distill"] != online[0]["loss_distill"], "the tokens were not rounded"
    assert max(step["loss_u"] for step in online) > 0.1, "no pixel was trusted"


def test_a_student_starts_from_the_same_weights_whichever_model_was_built_before(
    make_config, tmp_path
):
    # Unlike random ones, teachers from a file draw numbers as they are built.
    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "cnn.pth")
    settings = (f"teachers.cnn.weights={tmp_path / 'cnn.pth'}", "optimiser.max_steps=1")
    extract(make_config(*settings))
    (cached,) = trained(make_config(*settings), "cached")
    (online,) = trained(make_config(*settings, "objective.teachers=online"), "online")
    assert cached["loss_x"] == online["loss_x"]


def test_no_teacher_is_built_when_features_are_cached(extracted, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a teacher was built")

    monkeypatch.setattr("rsmtdf_core.teachers.teacher.Teacher.__init__", refuse)
    run = train(extracted(SHORT)).run
    newest = max((run / "checkpoints").iterdir())
    student = load_file(newest / "student.safetensors")
    assert {name.split(".")[0] for name in student} == {"encoder", "head", "translators", "fusion"}
    assert load_file(newest / "ema.safetensors").keys() == student.keys()
    with pytest.raises(AssertionError, match="a teacher was built"):
        train(extracted(SHORT, "objective.teachers=online"), run.with_name("online"))
