"""Every field of a config, with a value to change it to and the addresses that this changes."""

import shutil
from collections.abc import Iterator

import pytest

from pipeline.config import ExperimentConfig
from pipeline.plan import plan_experiment
from rsmtdf_core.choices import fields_at, groups_of
from rsmtdf_core.fingerprints import fingerprint
from rsmtdf_core.roles import ConfigSettings, Role, role_of
from rsmtdf_core.teachers.teacher import declared_identity

VIEWS, TEACHER, CODEC = "views", "teacher", "codec"
ADDRESSES = (Role.VIEWS, Role.TEACHER, Role.CODEC)
# Fields that decide an address although the other value in FIELDS does not change it.
UNCHANGED = {"teachers.0.weights_sha256": Role.TEACHER, "teachers.0.codec.quality": Role.CODEC}
# Keys of another family than the teacher's.
OF_OLMOEARTH = {
    "teachers.0.sensor": "landsat",
    "teachers.0.band_names": ["B04", "B03", "B08"],
    "teachers.0.scale": [0, 3000],
    "teachers.0.month": 1,
    "teachers.0.resolution": 20,
    "teachers.0.patch": 4,
}
UNCHANGED |= dict.fromkeys(OF_OLMOEARTH, Role.TEACHER)

FIELDS: dict[str, tuple[object, set[str]]] = {
    "name": ("other", set()),
    "seed": (1, set()),
    "views_seed": (1, {VIEWS}),
    "data.manifest": ("COPY OF THE MANIFEST", set()),
    "data.root": ("COPY OF THE SCENES", set()),
    "data.fold": (None, set()),  # another fold is another set of scenes
    "data.labeled": ("1/2", set()),
    "data.labeled_seed": (1, set()),
    # The teacher's position embeddings follow the size of the crop.
    "views.crop": (96, {VIEWS, TEACHER}),
    "views.scale": ([0.7, 1.2], {VIEWS}),
    "views.unlabeled_views": (3, set()),
    "views.labeled_views": (3, set()),
    "views.without_teachers": ("fresh", set()),
    "views.flip": (0.4, {VIEWS}),
    "views.vertical_flip": (0.4, {VIEWS}),
    "views.quarter_turns": (1, {VIEWS}),
    "views.jitter.p": (0.4, {VIEWS}),
    "views.jitter.brightness": (0.4, {VIEWS}),
    "views.jitter.contrast": (0.4, {VIEWS}),
    "views.jitter.saturation": (0.4, {VIEWS}),
    "views.jitter.hue": (0.1, {VIEWS}),
    "views.grayscale": (0.4, {VIEWS}),
    "views.blur.p": (0.4, {VIEWS}),
    "views.blur.sigma": ([0.2, 2.0], {VIEWS}),
    "views.cutmix.p": (0.4, {VIEWS}),
    "views.cutmix.area": ([0.1, 0.4], {VIEWS}),
    "views.cutmix.aspect": ([0.5, 2.0], {VIEWS}),
    "views.teacher_sees": ("strong", {VIEWS}),
    "teachers.0.name": ("other", set()),
    "teachers.0.family": ("open_clip", {TEACHER}),
    "teachers.0.model": ("test_vit2", {TEACHER}),
    "teachers.0.weights": ("A FILE OF WEIGHTS", {TEACHER}),
    "teachers.0.weights_sha256": (None, set()),  # names what is there; another is refused
    "teachers.0.seed": (1, {TEACHER}),
    "teachers.0.block": (-2, {TEACHER}),
    "teachers.0.final_norm": (False, {TEACHER}),
    "teachers.0.input_size": (96, {TEACHER}),
    "teachers.0.bands": ([3, 2, 1], {TEACHER}),
    "teachers.0.mean": ([0.4, 0.4, 0.4], {TEACHER}),
    "teachers.0.std": ([0.4, 0.4, 0.4], {TEACHER}),
    "teachers.0.precision": ("bf16", {TEACHER}),
    "teachers.0.codec.name": ("int8", {CODEC}),
    "teachers.0.codec.quality": (0.9, set()),  # of the transform codec alone
    **{key: (value, set()) for key, value in OF_OLMOEARTH.items()},
    "student.encoder": ("test_vit", set()),
    "student.weights": ("hub", set()),
    "student.mean": ([0.5, 0.5, 0.5], set()),
    "student.std": ([0.5, 0.5, 0.5], set()),
    "student.taps": ([0, 1, 2, 3], set()),
    "student.frozen_stages": (1, set()),
    "student.frozen_batch_norm": (True, set()),
    "student.head": ("large", set()),
    "student.second_encoding": ("shared", set()),
    "student.translator_input": ("pyramid", set()),
    "student.translator_hidden": (32, set()),
    "student.fusion.mode": ("off", set()),
    "student.fusion.student_weight": (0.4, set()),
    "student.fusion.teacher_weights": ({"vit": 0.3}, set()),
    "objective.method": ("fixmatch", set()),
    "objective.confidence": (0.4, set()),
    "objective.thresholds": ("self-adaptive", set()),
    "objective.threshold_momentum": (0.9, set()),
    "objective.class_weights": ("balanced", set()),
    "objective.region_loss": ("dice", set()),
    "objective.region_weight": (0.5, set()),
    "objective.teachers": ("online", set()),
    "objective.pretrain.steps": (3, set()),
    "objective.pretrain.lr": (0.1, set()),
    "objective.pretrain.batch": (6, set()),
    "objective.pretrain.distillation.loss": ("cosine", set()),
    "objective.pretrain.distillation.samples": ("labeled", set()),
    "objective.pretrain.distillation.padding": (False, set()),
    "objective.pretrain.distillation.teachers": (["vit"], set()),
    "objective.pretrain.distillation.targets": ("centered", set()),
    "objective.pretrain.distillation.weight": (2.0, set()),
    "objective.pretrain.distillation.final_weight": (0.5, set()),
    "objective.pretrain.distillation.schedule": ("cosine", set()),
    "objective.pretrain.distillation.teacher_weights": ({"vit": 2.0}, set()),
    "objective.head": ("linear", set()),
    "objective.tokens": (["vit"], set()),
    "objective.distillation.loss": ("cosine", set()),
    "objective.distillation.targets": ("centered", set()),
    "objective.distillation.samples": ("labeled", set()),
    "objective.distillation.padding": (False, set()),
    "objective.distillation.teachers": (["vit"], set()),
    "objective.distillation.weight": (0.5, set()),
    "objective.distillation.final_weight": (0.5, set()),
    "objective.distillation.schedule": ("cosine", set()),
    "objective.distillation.teacher_weights": ({"vit": 0.3}, set()),
    "optimiser.lr": (0.1, set()),
    "optimiser.multiplier": (2, set()),
    "optimiser.weight_decay": (0.1, set()),
    "optimiser.power": (0.5, set()),
    "optimiser.warmup": (2, set()),
    "optimiser.layer_decay": (0.5, set()),
    "optimiser.lr_delay": (1, set()),
    "optimiser.epochs": (3, set()),
    "optimiser.max_steps": (3, set()),
    "optimiser.batch": (4, set()),
    "optimiser.scale_lr": ("linear", set()),
    "optimiser.lr_batch": (8, set()),
    "optimiser.ema": (0.5, set()),
    "evaluation.weights": ("student", set()),
    "evaluation.every": (2, set()),
    "evaluation.patience": (2, set()),
    "evaluation.inference.mode": ("whole", set()),
    "evaluation.inference.blend": ("hann", set()),
    "evaluation.inference.window": (32, set()),
    "evaluation.inference.overlap": (0.5, set()),
    "evaluation.inference.batch": (2, set()),
    "evaluation.inference.scales": ([0.5, 1.0], set()),
    "evaluation.inference.flips": (["horizontal"], set()),
    "runtime.device": ("auto", set()),
    "runtime.precision": ("bf16", set()),
    "runtime.accumulate": (2, set()),
    "runtime.activation_checkpointing": (True, set()),
    "runtime.compile": (True, set()),
    "runtime.workers": (1, set()),
    "runtime.cache": ("elsewhere", set()),
    "runtime.runs": ("elsewhere", set()),
    "runtime.cache_pixels": (True, set()),
    "runtime.check": ("never", set()),
    "runtime.read_threads": (2, set()),
    "runtime.extract_workers": (2, set()),
    "runtime.teacher_batch": (5, set()),
    "runtime.shard_mebibytes": (1, set()),
    "runtime.log_every": (2, set()),
    "runtime.checkpoint_every": (2, set()),
    "runtime.keep_checkpoints": (3, set()),
    "runtime.keep_best": (2, set()),
    "runtime.trackers": (["wandb"], set()),
}


def leaves(group: type[ConfigSettings], prefix: str = "") -> Iterator[str]:
    """Every field of a config by its dotted key, teachers by their first; of every method, family and codec."""
    for name, field in group.model_fields.items():
        inner = groups_of(field)
        key = f"{name}.0" if name == "teachers" and inner else name
        for each in inner:
            yield from leaves(each, f"{prefix}{key}.")
        if not inner:
            yield f"{prefix}{name}"


def addresses(config: ExperimentConfig) -> dict[str, str]:
    teacher = config.teachers[0]
    return {
        VIEWS: plan_experiment(config).plan.address,
        TEACHER: fingerprint(declared_identity(teacher, config.views.crop)),
        CODEC: fingerprint(teacher.declared_codec),
    }


def test_every_field_is_listed():
    assert set(leaves(ExperimentConfig)) == FIELDS.keys()


def test_keys_that_may_change_during_a_run_and_that_other_methods_ignore():
    roles = {
        key: {role_of(field) for _, _, field in fields_at(ExperimentConfig, key)} for key in FIELDS
    }
    free = {key for key in FIELDS if roles[key] <= {Role.SPEED, Role.PLACE}}
    runtime = {key for key in FIELDS if key.startswith("runtime.")}
    assert free == runtime - {"runtime.precision"} | {
        *("name", "data.manifest", "data.root", "evaluation.inference.batch")
    }
    inference = {key for key in FIELDS if key.startswith("evaluation.inference.")}
    assert {key for key in FIELDS if Role.SCORING in roles[key]} == inference - free
    taught = {key for key in FIELDS if roles[key] & {Role.TAUGHT, Role.SELECTION}}
    assert taught == {
        *(key for key in FIELDS if key.startswith(("objective.distillation.", "student.fusion."))),
        *(key for key in FIELDS if key.startswith("objective.pretrain.") and key[-6:] != ".steps"),
        *("objective.teachers", "objective.tokens"),
        *("student.second_encoding", "student.translator_input", "student.translator_hidden"),
    }


@pytest.mark.parametrize("key", FIELDS)
def test_the_role_of_a_field_is_the_address_that_it_changes(key):
    _, changes = FIELDS[key]
    for _, _, field in fields_at(ExperimentConfig, key):
        role = role_of(field)
        if key in UNCHANGED:
            assert role == UNCHANGED[key]
        else:
            assert role in changes if changes else role not in ADDRESSES


@pytest.mark.parametrize("key", FIELDS)
def test_each_field_changes_the_addresses_that_are_listed_and_no_others(
    make_config, scenes, tmp_path, key
):
    value, expected = FIELDS[key]
    if value == "COPY OF THE SCENES":
        value = shutil.copytree(scenes, tmp_path / "moved")
    elif value == "COPY OF THE MANIFEST":
        from data_manifests import __file__ as package

        value = tmp_path / "renamed.yaml"
        text = (tmp_path / package).parent.joinpath("synthetic.yaml").read_text()
        value.write_text(text.replace("title: ", "title: Another "))
    elif value == "A FILE OF WEIGHTS":
        value = tmp_path / "weights.safetensors"
        value.write_bytes(b"weights")
    batch = "optimiser.batch=8"  # can be parted
    before = addresses(make_config(batch))
    after = addresses(make_config(batch, f"{key}={'null' if value is None else value}"))
    assert {name for name in before if before[name] != after[name]} == expected


@pytest.mark.parametrize("key", ["teachers.0.quality", "teachers.0.codec.quality"])
def test_the_quality_changes_the_address_of_the_transform_codec_alone(make_config, key):
    transform, other = (
        make_config("teachers.0.codec=transform", f"{key}={quality}") for quality in (0.99, 0.9)
    )
    before, after = addresses(transform), addresses(other)
    assert {name for name in before if before[name] != after[name]} == {CODEC}
