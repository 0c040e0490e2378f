import numpy as np
import pytest
import torch

from rsmtdf_core.codecs import declare_codec, make_codec
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.tokens import TokenShape
from rsmtdf_core.training.schedule import BatchSchedule
from rsmtdf_core.training.standardise import TokenMap
from rsmtdf_core.training.targets import CachedTargets, OnlineTargets
from rsmtdf_core.views.plan import make_plan
from rsmtdf_core.views.settings import CutMixSettings, ViewSettings

SHAPE = TokenShape("one", 8, 8, 3)


class _Reader:
    """Reads tokens whose value is their row."""

    codec = make_codec(declare_codec("fp16"), SHAPE.record_shape, {})

    def gather(self, rows, out):
        out[:] = np.asarray(rows, np.float16)[:, None, None, None]

    def prefetch(self, rows):
        pass


def _targets(policy, maps=None, labeled_views=4):
    scenes = [Scene(f"s{i:02d}", f"{i}.png", None, 64, 64) for i in range(10)]
    settings = ViewSettings(
        crop=32, cutmix=CutMixSettings(p=0.5), teacher_sees=policy, labeled_views=labeled_views
    )
    plan = make_plan(scenes[:4], scenes[4:], settings, seed=0)
    schedule = BatchSchedule(plan, batch=4, seed=0)
    rows = schedule.rows(0)
    source = CachedTargets({"one": _Reader()}, {"one": SHAPE}, plan, torch.device("cpu"), maps=maps)
    with source.opened(schedule, 0, 1) as targets_of:
        return plan, rows, targets_of(rows, torch.empty(0))


def test_tokens_of_mixed_views_come_as_they_are_labeled_ones_first():
    _, rows, targets = _targets("mixed")
    wanted = [*rows.labeled, *rows.unlabeled]
    assert targets.kept is None
    assert targets.tokens["one"].shape == (8, *SHAPE.record_shape)
    assert targets.tokens["one"].dtype == torch.float32
    values = [set(tokens.flatten().tolist()) for tokens in targets.tokens["one"]]
    assert values == [{row} for row in wanted]


@pytest.mark.parametrize("policy", ["mixed", "strong"])
def test_a_map_applies_to_each_token_before_views_are_joined(policy):
    token_map = TokenMap(torch.tensor([1.0, 2.0, 3.0]), torch.eye(3)[[1, 2, 0]] / 2)
    _, _, plain = _targets(policy)
    _, _, mapped = _targets(policy, {"one": token_map})
    expected = (plain.tokens["one"][..., [2, 0, 1]] - torch.tensor([3.0, 1.0, 2.0])) / 2
    torch.testing.assert_close(mapped.tokens["one"], expected)


def test_tokens_of_unmixed_views_are_joined_along_the_box_and_cut_ones_left_out():
    plan, rows, targets = _targets("strong")
    assert targets.kept is not None
    tokens, kept = targets.tokens["one"], targets.kept["one"]
    assert kept[:4].all(), "labeled views are never mixed"
    boxes = 0
    for i, row in enumerate(rows.unlabeled.tolist()):
        box = plan[row].box
        partner = rows.unlabeled[i ^ 1]
        for y in range(8):
            for x in range(8):
                # A cell is 4 px wide; which pixels of it does the partner show?
                shown = np.zeros((32, 32), bool)
                if box is not None:
                    shown[box.top : box.top + box.height, box.left : box.left + box.width] = True
                cell = shown[4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
                assert kept[4 + i, y, x] == (cell.all() or not cell.any())
                if cell.all():
                    assert (tokens[4 + i, y, x] == partner).all()
                elif not cell.any():
                    assert (tokens[4 + i, y, x] == row).all()
        boxes += box is not None
    assert boxes > 0


@pytest.mark.parametrize("policy", ["mixed", "strong"])
def test_fresh_labeled_views_have_no_tokens(policy):
    _, rows, whole = _targets(policy)
    _, fresh_rows, targets = _targets(policy, labeled_views="fresh")
    assert not targets.labeled
    offset = rows.unlabeled[0] - fresh_rows.unlabeled[0]
    scenes_alike = rows.unlabeled - offset == fresh_rows.unlabeled
    assert scenes_alike.all(), "the plans list the same unlabeled views of number 0"
    assert torch.equal(targets.tokens["one"], whole.tokens["one"][4:] - offset)
    assert (targets.kept is None) == (policy == "mixed")
    halves = [targets.part(slice(0, 2), 4), targets.part(slice(2, 4), 4)]
    assert not halves[0].labeled
    assert torch.equal(torch.cat([half.tokens["one"] for half in halves]), targets.tokens["one"])
    if targets.kept is not None:
        assert torch.equal(targets.kept["one"], whole.kept["one"][4:])
        assert torch.equal(torch.cat([half.kept["one"] for half in halves]), targets.kept["one"])


def test_online_targets_are_the_teachers_tokens_and_usable_in_a_loss():
    class Teacher:
        def tokens(self, images):
            with torch.inference_mode():
                return images.float()[:, :1, ::4, ::4].permute(0, 2, 3, 1)

    plan, rows, _ = _targets("mixed")
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    schedule = BatchSchedule(plan, batch=4, seed=0)
    with OnlineTargets({"one": Teacher()}).opened(schedule, 0, 1) as targets_of:
        targets = targets_of(rows, images)
    scale = torch.ones(1, requires_grad=True)
    (targets.tokens["one"] * scale).sum().backward()
    assert scale.grad == images[:, :1, ::4, ::4].sum()
