"""A plain reference implementation of RS-MTDF's step in float64, which the loop is compared with.

It uses none of the project's loop, objectives, distillation or EMA; from the student it uses only the layers, applied
in the order of the published method.
"""

import copy

import torch
import torch.nn.functional as F

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class PlainTraining:
    """Two copies of a student and AdamW's moments; `step` trains once."""

    def __init__(self, student, *, lr, multiplier, decay, power, total, ema_limit, confidence):
        self.student = copy.deepcopy(student).double()
        self.ema = copy.deepcopy(student).double()
        self.lr, self.multiplier, self.decay, self.power = lr, multiplier, decay, power
        self.total, self.ema_limit, self.confidence = total, ema_limit, confidence
        self.first = {name: torch.zeros_like(p) for name, p in self.student.named_parameters()}
        self.second = {name: torch.zeros_like(p) for name, p in self.student.named_parameters()}

    def step(self, number, batch, teachers):
        """Train a step on a batch; return the losses by name and the gradients by parameter."""
        losses = self._losses(batch, teachers)
        names = [name for name, _ in self.student.named_parameters()]
        gradients = torch.autograd.grad(losses["loss"], list(self.student.parameters()))
        gradients = dict(zip(names, gradients, strict=True))
        self._adamw(number, gradients)
        self._average(number)
        return {name: float(loss.detach()) for name, loss in losses.items()}, gradients

    def _losses(self, batch, teachers):
        labeled, unlabeled = len(batch.images), len(batch.weak)
        with torch.no_grad():
            weak, _ = forward(self.ema, normalised(batch.weak))
        chances = torch.softmax(weak, dim=1)
        confidence, labels = chances.max(dim=1).values, chances.argmax(dim=1)
        valid = batch.valid[labeled:].clone()
        before = confidence.clone(), labels.clone(), valid.clone()
        for i in range(unlabeled):
            partner = i + 1 if i % 2 == 0 else i - 1
            box = batch.pasted[0, i]
            for plane, old in zip((confidence, labels, valid), before, strict=True):
                plane[i][box] = old[partner][box]
        logits, tokens = forward(
            self.student, normalised(torch.cat([batch.images, batch.mixed[0]]))
        )
        x, u = logits[:labeled], logits[labeled:]
        supervised, count = 0.0, 0
        for i in range(labeled):
            logs = torch.log_softmax(x[i], dim=0)
            for class_id in range(x.shape[1]):
                here = batch.masks[i] == class_id
                supervised = supervised - logs[class_id][here].sum()
                count += int(here.sum())
        consistency = 0.0
        for i in range(unlabeled):
            logs = torch.log_softmax(u[i], dim=0)
            for class_id in range(u.shape[1]):
                here = (labels[i] == class_id) & (confidence[i] >= self.confidence) & valid[i]
                consistency = consistency - logs[class_id][here].sum()
        distances = [(tokens[name] - teachers[name].double()) ** 2 for name in tokens]
        losses = {
            "loss_x": supervised / count,
            "loss_u": consistency / int(valid.sum()),
            "loss_distill": sum(distance.mean() for distance in distances) / len(distances),
        }
        losses["loss"] = sum(losses.values()) / 3
        return losses

    @torch.no_grad()
    def _adamw(self, number, gradients):
        for name, parameter in self.student.named_parameters():
            rate = self.lr * (1 - number / self.total) ** self.power
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
        new = dict(self.student.named_parameters())
        for name, parameter in self.ema.named_parameters():
            parameter.copy_(ratio * parameter + (1 - ratio) * new[name])


def normalised(images):
    """uint8 images as the encoder takes them, float64."""
    mean, std = (
        torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (MEAN, STD)
    )
    return (images.double() / 255 - mean) / std


def forward(student, images):
    """Logits, and tokens by teacher: each of the student's parts in the order of the reference."""
    taps = student.encoder(images)
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
    logits = student.head([*taps[:-1], fused])
    logits = F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=True)
    return logits, tokens
