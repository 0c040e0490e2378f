"""Size, fidelity and speed of the transform codec on DINOv2-S tokens of real aerial scenes.

    python tests/benchmarks/bench_transform.py [SHARED]

SHARED is the folder with `weights` and `data/dubai` (by default the folder next to the checkout).
Extraction takes one to two seconds a view on a processor. Speeds are of processor time,
so that they are of one core however many there are.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from rsmtdf_core.codecs import declare_codec, fit_codec, make_codec
from rsmtdf_core.store.fidelity import Fidelity
from rsmtdf_core.teachers.settings import TeacherSettings
from rsmtdf_core.teachers.teacher import load_teacher

WEIGHTS = "dinov2_vits14_lineage_fp16.safetensors"
CROP = 518
VIEWS = 48
QUALITIES = (0.99, 0.98, 0.995)
ROUNDS = 3


def main() -> None:
    """Measure and print a markdown table."""
    shared = Path(__file__).resolve().parents[3] / "shared"
    sys.stdout.write(table(measure(Path(sys.argv[1]) if len(sys.argv) > 1 else shared)))


def measure(shared_path: Path) -> dict[str, float]:
    """All numbers, by "<quality>: <measure>"."""
    tokens = dubai_tokens(shared_path, VIEWS)
    return {
        f"{quality}: {name}": number
        for quality in QUALITIES
        for name, number in measure_quality(tokens, quality).items()
    }


def table(numbers: dict[str, float]) -> str:
    """The numbers as markdown, one column a quality."""
    names = list(dict.fromkeys(key.partition(": ")[2] for key in numbers))
    head = [
        f"| transform at quality | {' | '.join(map(str, QUALITIES))} |",
        f"|---{'|---' * len(QUALITIES)}|",
    ]
    body = [
        " | ".join([f"| {name}", *(f"{numbers[f'{q}: {name}']:.4g}" for q in QUALITIES)]) + " |"
        for name in names
    ]
    return "\n".join([*head, *body]) + "\n"


def dubai_tokens(shared_path: Path, count: int) -> np.ndarray:
    """DINOv2-S tokens, float32 [count, 37, 37, 384], of a random crop in each of `count` scenes."""
    settings = TeacherSettings(
        name="dino",
        family="timm",
        model="vit_small_patch14_dinov2.lvd142m",
        weights=str(shared_path / "weights" / WEIGHTS),
    )
    teacher = load_teacher(settings, CROP)
    scenes = sorted((shared_path / "data" / "dubai").glob("*/images/*"))
    draws = np.random.default_rng(0)
    chosen = draws.permutation(len(scenes))[:count]
    assert len(chosen) == count, f"{len(scenes)} scenes are too few"
    crops = [_crop(scenes[number], draws) for number in chosen]
    return np.concatenate([teacher.tokens(crop[None]).numpy() for crop in crops])


def _crop(scene: Path, draws: np.random.Generator) -> torch.Tensor:
    image = Image.open(scene).convert("RGB")
    if min(image.size) < CROP:
        scale = CROP / min(image.size)
        width, height = (max(CROP, round(side * scale)) for side in image.size)
        image = image.resize((width, height))
    left, top = (int(draws.integers(side - CROP + 1)) for side in image.size)
    pixels = np.array(image.crop((left, top, left + CROP, top + CROP)))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def measure_quality(tokens: np.ndarray, quality: float) -> dict[str, float]:
    """Size, fidelity and speed on views [n, H, W, D] that the codec was not fitted to.

    Each half is fitted on the other: views differ, and where one half is the easier the errors of
    both cancel.
    """
    first, second = tokens[::2], tokens[1::2]
    pair = [measure_unseen(*halves, quality) for halves in ((first, second), (second, first))]
    return {name: float(np.mean([measures[name] for measures in pair])) for name in pair[0]}


def measure_unseen(sample: np.ndarray, unseen: np.ndarray, quality: float) -> dict[str, float]:
    """The codec fitted to `sample`, measured on `unseen`."""
    declared = declare_codec("transform", quality=quality)
    parameters = fit_codec(declared, sample)
    codec = make_codec(declared, unseen.shape[1:], parameters)
    packed = [codec.encode(view) for view in unseen]
    stored = np.empty((len(unseen), *codec.stored_shape), np.uint8)
    restored = np.empty_like(unseen)

    def unpack() -> None:
        for record, out in zip(packed, stored, strict=True):
            codec.unpack(record, out)

    def decode() -> None:
        for number in range(len(unseen)):
            batch = torch.from_numpy(stored[number : number + 1])
            restored[number] = codec.decode(batch, "cpu")[0].numpy()

    unpack()
    decode()
    compared = zip(unseen, restored, strict=True)
    fidelity = Fidelity.merged(Fidelity.measure(*pair, parameters["mean"]) for pair in compared)
    certificate = fidelity.certificate()
    return {
        "times smaller than fp16": unseen[0].size * 2 * len(packed) / sum(r.nbytes for r in packed),
        "centred cosine, mean": certificate["centred_cosine"]["mean"],
        "centred cosine, 1st percentile": certificate["centred_cosine"]["p1"],
        "cosine, mean": certificate["cosine"]["mean"],
        "unpack, views/s a core": speed(unpack, len(unseen)),
        "decode on the processor, views/s a core": speed(decode, len(unseen)),
        "encode, views/s a core": speed(lambda: [codec.encode(v) for v in unseen], len(unseen)),
    }


def speed(work: Callable[[], object], views: int) -> float:
    """Views a second of processor time, median of a few rounds."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return views / float(np.median(seconds))


if __name__ == "__main__":
    main()
