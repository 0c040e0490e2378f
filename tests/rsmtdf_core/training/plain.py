"""A plain reference implementation of a step of each method in float64, which the loop is compared with.

It uses none of the project's loop, objectives, distillation, EMA or batches; from the student it uses only the layers,
applied in the order of the published methods, and from the views the functions that render an image.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F

from rsmtdf_core.training.data import Batch
from rsmtdf_core.training.strong import change_of
from rsmtdf_core.views.render import render_image, render_mask, render_photometric

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class PlainTraining:
    """Copies of a student and its average, and AdamW's moments; `step` trains once."""

    def __init__(
        self,
        student,
        ema,
        *,
        method,
        lr,
        multiplier,
        decay,
        power,
        total,
        ema_limit,
        confidence,
        delay,
    ):
        self.student = copy.deepcopy(student).double().train()
        self.ema = copy.deepcopy(ema).double().eval()
        self.method, self.confidence = method, confidence
        self.lr, self.multiplier, self.decay, self.power = lr, multiplier, decay, power
        self.total, self.ema_limit, self.delay = total, ema_limit, delay
        self.first = {name: torch.zeros_like(p) for name, p in self.student.named_parameters()}
        self.second = {name: torch.zeros_like(p) for name, p in self.student.named_parameters()}

    def step(self, number, batch, teachers, scale=None):
        """Train a step on a batch; return the losses by name and the gradients by parameter."""
        losses = self._losses(batch, teachers, scale)
        names = [name for name, _ in self.student.named_parameters()]
        gradients = torch.autograd.grad(losses["loss"], list(self.student.parameters()))
        gradients = dict(zip(names, gradients, strict=True))
        self._adamw(number, gradients)
        self._average(number)
        return {name: float(loss.detach()) for name, loss in losses.items()}, gradients

    def _losses(self, batch, teachers, scale):
        labeled, unlabeled = len(batch.images), len(batch.weak)
        views = list(batch.mixed)
        pseudo = [self._pseudo_labels(batch, view) for view in range(len(views))]
        images = normalised(torch.cat([batch.images, *views]))
        logits, tokens = forward(self.student, images, scale)
        losses = {"loss_x": self._supervised(logits[:labeled], batch.masks)}
        if views:
            strong = logits[labeled:].split(unlabeled)
            pairs = list(zip(strong, pseudo, strict=True))
            losses["loss_u"] = sum(self._consistency(*pair) for pair in pairs) / len(views)
            kept = [trusted.double().sum() / valid.sum() for _, trusted, valid in pseudo]
            losses["trusted"] = sum(kept) / len(views)
        if teachers:
            distances = [(tokens[name] - teachers[name].double()) ** 2 for name in tokens]
            losses["loss_distill"] = sum(distance.mean() for distance in distances) / len(distances)
        x, u, d = (losses.get(name) for name in ("loss_x", "loss_u", "loss_distill"))
        if self.method == "supervised":
            return {"loss": x}
        return losses | {"loss": (x + u + d) / 3 if self.method == "rs-mtdf" else (x + u) / 2}

    def _supervised(self, logits, masks):
        total, count = 0.0, 0
        for scores, mask in zip(logits, masks, strict=True):
            logs = torch.log_softmax(scores, dim=0)
            for class_id in range(len(logs)):
                here = mask == class_id
                total = total - logs[class_id][here].sum()
                count += int(here.sum())
        return total / count

    @torch.no_grad()
    def _pseudo_labels(self, batch, view):
        """Labels of the average for the mixed images: class ids, trusted and valid pixels."""
        weak, _ = forward(self.ema, normalised(batch.weak))
        chances = torch.softmax(weak, dim=1)
        confidence, labels = chances.max(dim=1).values, chances.argmax(dim=1)
        valid = batch.valid[len(batch.images) :].clone()
        before = confidence.clone(), labels.clone(), valid.clone()
        for i, box in enumerate(batch.pasted[view]):
            partner = i + 1 if i % 2 == 0 else i - 1
            for plane, old in zip((confidence, labels, valid), before, strict=True):
                plane[i][box] = old[partner][box]
        return labels, (confidence >= self.confidence) & valid, valid

    def _consistency(self, logits, pseudo):
        labels, trusted, valid = pseudo
        total = 0.0
        for i, scores in enumerate(logits):
            logs = torch.log_softmax(scores, dim=0)
            for class_id in range(len(logs)):
                total = total - logs[class_id][(labels[i] == class_id) & trusted[i]].sum()
        return total / int(valid.sum())

    @torch.no_grad()
    def _adamw(self, number, gradients):
        scheduled = max(0, number - self.delay)
        for name, parameter in self.student.named_parameters():
            rate = self.lr * (1 - scheduled / self.total) ** self.power
            if not name.startswith("encoder."):
                rate *= self.multiplier
            gradient = gradients[name]
            self.first[name] = BETA1 * self.first[name] + (1 - BETA1) * gradient
            self.second[name] = BETA2 * self.second[name] + (1 - BETA2) * gradient**2
            first = self.first[name] / (1 - BETA1 ** (number + 1))
            second = self.second[name] / (1 - BETA2 ** (number + 1))
            parameter.mul_(1 - rate * self.decay)
            parameter.sub_(rate * first / (second.sqrt() + EPSILON))

    @torch.no_grad()
    def _average(self, number):
        ratio = min(1 - 1 / (number + 1), self.ema_limit)
        new = self.student.state_dict()
        for name, tensor in self.ema.state_dict().items():
            floating = tensor.is_floating_point()
            tensor.copy_(ratio * tensor + (1 - ratio) * new[name] if floating else new[name])


def normalised(images):
    """uint8 images as the encoder takes them, float64."""
    mean, std = (
        torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (MEAN, STD)
    )
    return (images.double() / 255 - mean) / std


def forward(student, images, scale=None):
    """Logits, and tokens by teacher: each of the student's parts in the order of the reference."""
    taps = student.encoder(images)
    if scale is not None:
        taps = [tap * scale.double()[:, : tap.shape[1], None, None] for tap in taps]
    last = taps[-1]
    tokens, fused = {}, 0.8 * last
    for name, translator in student.translators.items():
        size, source = student.second_sizes[name], last
        if size is not None:
            small = F.interpolate(images, (size, size), mode="bilinear", align_corners=True)
            source = student.encoder(small)[-1]
        batch, channels, height, width = source.shape
        rows = source.permute(0, 2, 3, 1).reshape(batch * height * width, channels)
        translated = translator.layers(rows).reshape(batch, height, width, -1)
        on_grid = F.interpolate(
            translated.permute(0, 3, 1, 2), last.shape[-2:], mode="bilinear", align_corners=True
        )
        projection = student.fusion.projections[name]
        back = torch.einsum("bdhw,cd->bchw", on_grid, projection.weight)
        fused = fused + 0.1 * (back + projection.bias.view(1, -1, 1, 1))
        tokens[name] = translated
    logits = student.head([*taps[:-1], fused if tokens else last])
    logits = F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=True)
    return logits, tokens


def plain_batch(plan, reader, rows, step, strong_views):
    """The batch of a step whose views have these rows of a plan, rendered view by view."""
    crop = plan.settings.crop
    labeled = [plan[row] for row in rows.labeled.tolist()]
    unlabeled = [plan[row] for row in rows.unlabeled.tolist()] if strong_views else []

    def shown(view, image):
        return render_image(image, view.geometry, crop)

    def weak(view):
        return shown(view, reader.image(plan.scenes[view.scene]))

    def mask(view):
        return render_mask(reader.mask(plan.scenes[view.scene]), view.geometry, crop, 255)

    def valid(view):
        scene = plan.scenes[view.scene]
        return shown(view, np.full((scene.height, scene.width, 3), 255, np.uint8))[..., 0] == 255

    mixed, pasted = [], []
    for number in range(strong_views):
        # The first view is that of the plan.
        changes = [
            (view.photometric, view.box)
            if number == 0
            else change_of(plan, view.row, rows.epoch, number)
            for view in unlabeled
        ]
        strong = [
            render_photometric(weak(view), photometric)
            for view, (photometric, _) in zip(unlabeled, changes, strict=True)
        ]
        by_row = {view.row: picture for view, picture in zip(unlabeled, strong, strict=True)}
        for view, picture, (_, box) in zip(unlabeled, strong, changes, strict=True):
            inside = np.zeros((crop, crop), bool)
            if box is not None:
                inside[box.top : box.top + box.height, box.left : box.left + box.width] = True
            pasted.append(inside)
            mixed.append(np.where(inside[..., None], by_row[view.partner], picture))

    def images(pictures, *shape):
        stacked = np.array(pictures, np.uint8).reshape(*shape, crop, crop, 3)
        return torch.from_numpy(np.moveaxis(stacked, -1, -3).copy())

    views = strong_views, len(unlabeled)
    return Batch(
        step,
        0,
        len(labeled),
        images([weak(view) for view in labeled], len(labeled)),
        torch.from_numpy(np.array([mask(view) for view in labeled])),
        images([weak(view) for view in unlabeled], len(unlabeled)),
        images(mixed, *views),
        torch.from_numpy(np.array(pasted, bool).reshape(*views, crop, crop)),
        torch.from_numpy(np.array([valid(view) for view in labeled + unlabeled])),
    )
