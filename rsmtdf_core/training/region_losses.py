"""Losses that compare the regions of classes instead of single pixels: soft Dice and Lovasz-softmax.

Neither is a sum over pixels, so the loss of a batch is not that of its parts. Both are therefore computed for each
image by itself; the mean over images does not depend on how a batch is divided. In each image, the mean is taken over
the classes among its labels.
"""

import torch
from torch import Tensor


def dice_loss(logits: Tensor, masks: Tensor, ignore_id: int) -> Tensor:
    """Return 1 minus the mean soft Dice coefficient over the classes in each image.

    With probabilities p and labels g of a class in {0, 1}, the coefficient is 2 sum(p g) / (sum(p^2) + sum(g^2)) over
    the labeled pixels (Milletari et al. 2016, V-Net, section 3).

    Args:
        logits: float [B, C, H, W].
        masks: class ids, uint8 [B, H, W].
        ignore_id: id of pixels without a label.

    Returns:
        Float32 [B], in 0..1; 0 for an image without labels.
    """
    chances, labels = _pixels(logits, masks, ignore_id)
    overlap = 2 * (chances * labels).sum(dim=-1)
    total = chances.square().sum(dim=-1) + labels.sum(dim=-1)
    return _mean_over_present(1 - overlap / total.clamp(min=1), labels)


def lovasz_loss(logits: Tensor, masks: Tensor, ignore_id: int) -> Tensor:
    """Return the Lovasz-softmax loss, a surrogate of 1 minus the mean IoU over the classes in each image.

    The errors |g - p| of a class are sorted in descending order and weighted by the increase of the Jaccard loss when
    the pixels up to each one are wrong (Berman et al. 2018, arXiv 1705.08790, equations 8 to 12).

    Args:
        logits: float [B, C, H, W].
        masks: class ids, uint8 [B, H, W].
        ignore_id: id of pixels without a label.

    Returns:
        Float32 [B], in 0..1; 0 for an image without labels.
    """
    chances, labels = _pixels(logits, masks, ignore_id)
    # Ignored pixels have probabilities and labels of 0, so they are sorted last and add 0.
    errors, order = (labels.float() - chances).abs().sort(dim=-1, descending=True, stable=True)
    # Counted in integers, because float sums on a GPU depend on the order of its threads.
    ordered = labels.gather(-1, order)
    size = ordered.sum(dim=-1, keepdim=True)
    intersection = size - ordered.cumsum(dim=-1, dtype=torch.int32)
    union = size + (~ordered).cumsum(dim=-1, dtype=torch.int32)
    jaccard = 1 - intersection.float() / union.float()
    increase = torch.cat([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], dim=-1)
    return _mean_over_present((errors * increase).sum(dim=-1), labels)


def _pixels(logits: Tensor, masks: Tensor, ignore_id: int) -> tuple[Tensor, Tensor]:
    """Return the probabilities, float32, and the labels, bool [B, C, P]; both are 0 at ignored pixels."""
    ids = masks.flatten(1)[:, None]
    labeled = ids != ignore_id
    classes = torch.arange(logits.shape[1], device=masks.device)[:, None]
    chances = logits.float().softmax(dim=1).flatten(2) * labeled
    return chances, (ids == classes) & labeled


def _mean_over_present(losses: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of losses [B, C] over the classes with labels [B, C, P] in each image, [B]."""
    present = labels.any(dim=-1).float()
    return (losses * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
