"""Writes the files of all inputs, one after the other or in several processes (tests: test_run.py)."""

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import lru_cache, partial
from math import prod

import torch

from pipeline.memory import memory_errors
from pipeline.predict.batches import Failures
from pipeline.predict.inputs import Job, OutputKind
from pipeline.predict.layers import BY_BLOCKS, derive, is_whole, layer_block, open_layer
from pipeline.predict.predictor import Models, Predictor, load_predictor, predict_blocks
from pipeline.predict.settings import PredictSettings
from pipeline.predict.sources import open_source
from pipeline.predict.stac import write_item
from pipeline.reporter import Bar, Reporter, Silent
from rsmtdf_core.errors import RunError
from rsmtdf_core.evaluation.settings import InferenceSettings
from rsmtdf_core.evaluation.tiles import window_starts
from rsmtdf_core.scenes.images.source import Source


def write_all(
    jobs: Sequence[Job],
    sizes: Mapping[Source, tuple[int, int]],
    predictor: Predictor,
    reporter: Reporter,
    failures: Failures,
    models: Models,
    workers: int,
) -> None:
    """Write the missing files of all inputs.

    Args:
        jobs: the inputs and their files.
        sizes: height and width of each input, px.
        predictor: the models and settings.
        reporter: shows progress.
        failures: collects inputs that fail.
        models: loads the models again, in other processes.
        workers: number of processes; 1 works in this one.

    Raises:
        RunError: If the device has too little memory, or a process ends.
    """
    missing = {job.source: _missing(job, predictor.settings, reporter) for job in jobs}
    if kept := sum(not kinds for kinds in missing.values()):
        reporter.say(
            f"{kept} of {len(jobs)} inputs have all files already; --overwrite recomputes them"
        )
    windows = {
        source: _count_windows(sizes[source], predictor.inference) if _by_blocks(kinds) else 0
        for source, kinds in missing.items()
    }
    todo = [job for job in jobs if missing[job.source]]
    if not todo:
        return
    with reporter.bar("predict, windows", sum(windows.values())) as bar:
        if workers == 1 or len(todo) == 1:
            with memory_errors(partial(_too_little, predictor.inference)):
                for job in todo:
                    with failures.of(job.source):
                        _write(job, missing[job.source], predictor, bar)
            return
        count = min(workers, len(todo))
        with ProcessPoolExecutor(
            count,
            multiprocessing.get_context("spawn"),  # CUDA does not survive a fork
            initializer=torch.set_num_threads,
            initargs=(
                torch.get_num_threads(),
            ),  # sums of other numbers of threads may round differently
        ) as pool:
            work = partial(_work, models, predictor.settings)
            futures = {pool.submit(work, job, missing[job.source]): job for job in todo}
            try:
                for future in as_completed(futures):
                    job = futures[future]
                    with failures.of(job.source):
                        _result(future)
                    bar.advance(windows[job.source], note=job.first.name)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


@lru_cache(maxsize=1)
def _loaded(models: Models, settings: PredictSettings) -> Predictor:
    """Load the models of a worker process, which uses them for all of its inputs."""
    return load_predictor(models, settings, Silent())


def _work(models: Models, settings: PredictSettings, job: Job, kinds: Sequence[OutputKind]) -> None:
    """Write the missing files of an input in a worker process."""
    predictor = _loaded(models, settings)
    with memory_errors(partial(_too_little, predictor.inference)):
        _write(job, kinds, predictor, Silent())


def _result(future: Future[None]) -> None:
    try:
        future.result()
    except BrokenProcessPool:
        raise RunError(
            "a worker process ended, perhaps because memory ran out; complete maps are kept",
            where="--workers",
            remedy="run the command again with fewer --workers",
        ) from None


def _too_little(inference: InferenceSettings, detail: str) -> RunError:
    return RunError(
        f"the device has too little memory to predict {inference.batch} windows of {inference.window} px "
        f"at a time ({detail})",
        where="evaluation.inference.batch",
        remedy=f"run the command again with --set evaluation.inference.batch={inference.batch // 2}"
        if inference.batch > 1
        else "predict on a device with more memory, or on a CPU",
    )


def _count_windows(size: tuple[int, int], settings: InferenceSettings) -> int:
    return prod(len(window_starts(side, settings.window, settings.overlap)) for side in size)


def _missing(job: Job, settings: PredictSettings, reporter: Reporter) -> list[OutputKind]:
    """List the files of an input to write: missing and damaged files, or all with `overwrite`."""
    if settings.overwrite:
        return list(job.files)
    missing = []
    for kind, path in job.files.items():
        if not path.exists():
            missing.append(kind)
        elif not is_whole(path):
            reporter.warn(f"{path} is damaged and will be written again")
            missing.append(kind)
    return missing


def _by_blocks(kinds: Sequence[OutputKind]) -> list[OutputKind]:
    return [kind for kind in kinds if kind in BY_BLOCKS]


def _write(job: Job, kinds: Sequence[OutputKind], predictor: Predictor, bar: Bar) -> None:
    """Write the missing files of an input: first those written by blocks, then those derived from the map."""
    manifest, by_blocks = predictor.trained.manifest, _by_blocks(kinds)
    if by_blocks:
        with ExitStack() as stack:
            source, frame = stack.enter_context(open_source(job.source, predictor.bands))
            writers = {
                kind: stack.enter_context(
                    open_layer(
                        job,
                        kind,
                        frame,
                        manifest,
                        cog=predictor.settings.cog,
                        tags=predictor.tags(kind),
                    )
                )
                for kind in by_blocks
            }
            for top, left, logits in predict_blocks(predictor, source):
                block = predictor.members.block(logits)
                valid = source.valid(top, left, *logits.shape[1:])
                for kind, writer in writers.items():
                    values = layer_block(
                        kind, block, valid, manifest.ignore_id, predictor.temperature
                    )
                    writer.write(top, left, values)
                bar.advance(note=job.first.name)
    for kind in kinds:
        if kind == "stac":
            write_item(job, predictor.trained, predictor.inference)
        elif kind not in BY_BLOCKS:
            derive(job, kind, manifest, predictor.bands, predictor.settings.generalization)
