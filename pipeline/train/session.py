"""A training session with logging, saving and validation; resumable (tests: test_run_life.py).

All processes run the same steps and synchronize when a step is logged, saved or validated. Only the main process
writes.
"""

import shlex
from collections.abc import Generator
from contextlib import ExitStack, closing, suppress
from typing import Any

from pipeline.commands import train_command
from pipeline.memory import memory_errors, too_little_for_a_step, too_little_for_a_validation
from pipeline.plan import Experiment
from pipeline.reporter import Reporter
from pipeline.train.checkpoints import Keeper
from pipeline.train.divergence import diverged, require_finite_state
from pipeline.train.journal import Journal, TrainReport
from pipeline.train.phases import Phases
from pipeline.train.profiling import StepProfiler
from pipeline.train.signals import Interrupted, Signals, interrupted
from pipeline.train.trackers import running_trackers
from pipeline.train.validation import (
    share_buffers,
    share_of,
    share_tensors,
    shared_confusion,
)
from pipeline.train.watch import Watch
from rsmtdf_core.errors import RunError, WriteError
from rsmtdf_core.evaluation.counts import only_class
from rsmtdf_core.evaluation.protocols.rsmtdf import RSMTDF
from rsmtdf_core.evaluation.scoring import scored_scenes
from rsmtdf_core.refusals import remedy_of
from rsmtdf_core.runs.folder import ENDED, RunFolder, Status
from rsmtdf_core.runs.history import Validation, since_best
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.training.loop import StepRecord, Training


class Session:
    """Run a training: `Journal` logs it, and `Keeper` saves its checkpoints.

    Args:
        experiment: config, scenes and views.
        phases: the phases of the run, at step 0.
        folder: the run's folder, prepared.
        reporter: shows progress; silent except in the main process.
        profile: whether to trace a few steps.
        exits: whether a second signal ends the process at once.
    """

    def __init__(
        self,
        experiment: Experiment,
        phases: Phases,
        folder: RunFolder,
        reporter: Reporter,
        *,
        profile: bool = False,
        exits: bool = False,
    ) -> None:
        self._config = experiment.config
        self._dataset = experiment.dataset
        self._phases = phases
        self._folder = folder
        self._reporter = reporter
        self._profiles = profile
        self._keeper = Keeper(experiment, phases, folder)
        self._validations: list[Validation] = []
        self._status: Status = "running"
        self._done = 0
        self._reader = SceneReader(experiment.dataset)
        self._scenes = scored_scenes(experiment.dataset.splits.get("val", ()))
        self._leads = self._training.accelerator.is_main_process
        self._journal: Journal | None = None
        self._watch = Watch(self._config, self._training.schedule.steps_per_epoch, reporter)
        self._signals = Signals(speaks=self._leads, exits=exits)

    def run(self, *, resume: bool) -> None:
        """Train to the end.

        Raises:
            Interrupted: After a signal, once the training is saved.
            RunError: If the loss diverges or the device has too little memory.
            WriteError: If a file of the run cannot be written.
        """
        try:
            self._resume_or_start(resume=resume)
        except WriteError as error:
            resumption = f"go on with: {self._command}"
            error.remedy = remedy_of(error.errno, f"then {resumption}") or resumption
            raise

    def _resume_or_start(self, *, resume: bool) -> None:
        start = self._keeper.restore(self._reporter) if resume else 0
        accelerator = self._training.accelerator
        share_tensors(accelerator, self._training.method_state.values())
        # No process may still read the files that the main process will change.
        accelerator.wait_for_everyone()
        if self._leads:
            self._keeper.tidy(start, self._reporter)
        accelerator.wait_for_everyone()
        self._done = start
        self._validations = self._folder.validations
        if self._ended_at(start):
            self._reporter.say(f"the run is already {self._status} after {start} steps")
            return
        with self._signals:
            try:
                self._run(start)
            except Interrupted:
                # torchrun ends the other processes as soon as one exits, so wait until all is written.
                accelerator.wait_for_everyone()
                raise

    def _run(self, start: int) -> None:
        """Train from `start` to the end, with the journal and the trackers open."""
        with ExitStack() as stack:
            if self._leads:
                accelerator, total = self._training.accelerator, self._phases.total_steps
                self._folder.note(status="running", total=total)
                stack.enter_context(running_trackers(accelerator, self._config, self._folder))
                names = self._dataset.manifest.class_names
                journal = Journal(self._folder, accelerator, self._reporter, start, total, names)
                self._journal = stack.enter_context(journal)
            try:
                with memory_errors(self._too_little_memory):
                    self._status = self._train(start)
            except Exception:
                with suppress(WriteError):  # fails too if the disk is full
                    self._note_end("interrupted")
                raise
            self._note_end(self._status)

    @property
    def _command(self) -> str:
        """The command that continues this run."""
        words = ["--resume"]
        initial = self._folder.facts.get("initial")
        if initial and not self._keeper.has_checkpoints:
            words = ["--init-from", shlex.quote(initial["path"]), "--overwrite"]
        folder = self._folder
        return train_command(folder.config, folder.path, *words, processes=self._processes)

    def _ended_at(self, steps: int) -> bool:
        """Whether an earlier session completed this run, with its last checkpoint at `steps`."""
        facts = self._folder.facts
        if facts.get("status") not in ENDED or facts.get("steps") != steps:
            return False
        self._status = facts["status"]
        return True

    def _note_end(self, status: Status) -> None:
        if self._leads:
            self._folder.note_lines(status=status, steps=self._done)

    @property
    def _training(self) -> Training:
        """The training of the current phase."""
        return self._phases.current.training

    def _train(self, start: int) -> Status:
        """Train all steps from `start` and return the final status."""
        if start:
            self._reporter.say(f"resuming at step {start} of {self._phases.total_steps}")
            if self._closes_round(start - 1) and not self._validated(start):
                self._validate(start - 1)
            if self._runs_out_of_patience():
                return "stopped early"
        elif self._folder.facts.get("initial"):
            # So that a run killed before its first checkpoint starts from the same weights again.
            self._save(0)
        with ExitStack() as stack:
            profiler = None
            if self._profiles and self._leads:
                profiler = StepProfiler(self._folder.profile, start, self._reporter)
                stack.enter_context(profiler)
            for record in self._records(start):
                if profiler is not None:
                    profiler.advance()
                self._after(record)
                if self._closes_round(record.step) and self._runs_out_of_patience():
                    return "stopped early"
        return "finished"

    def _records(self, start: int) -> Generator[StepRecord]:
        """Train every phase from step `start` of the run."""
        while True:
            training = self._training
            with closing(training.steps(start - training.first_step)) as records:
                yield from records
            if not self._phases.advance(self._folder, self._reporter):
                return
            start = self._training.first_step

    def _too_little_memory(self, detail: str) -> RunError:
        return too_little_for_a_step(
            self._config,
            self._folder.config,
            phase=self._phases.current.config,
            saved=self._keeper.saved is not None,
            detail=detail,
            processes=self._processes,
        )

    def _after(self, record: StepRecord) -> None:
        """Log, save and validate after a step, as due."""
        self._done = record.step + 1
        accelerator = self._training.accelerator
        signal = self._signals.number if self._processes == 1 else 0
        every = self._config.runtime.checkpoint_every
        closes, logged = self._closes_round(record.step), self._is_logged(record.step)
        saves = closes or (every is not None and self._done % every == 0)
        if signal or saves or logged:
            self._require_finite()
        if logged:
            self._log(record)
            signal = signal or self._signals.agreed(accelerator)
        elif self._journal is not None:
            self._journal.passed()
        if signal or saves:
            # Also before a validation, so that its failure does not lose the epoch.
            self._save(self._done)
        if signal:
            raise self._interrupted(signal)
        if closes:
            self._validate(record.step)
            if self._journal is not None:
                self._journal.round(record, self._latest(record.step))

    def _closes_round(self, step: int) -> bool:
        """Whether `step` ends an epoch after which the model is validated, or the phase."""
        training = self._training
        if step + 1 == training.end:
            return True
        epoch, remainder = divmod(step + 1 - training.first_step, training.schedule.steps_per_epoch)
        return remainder == 0 and epoch % self._config.evaluation.every == 0

    def _is_logged(self, step: int) -> bool:
        last = self._training.end - 1
        return step % self._config.runtime.log_every == 0 or step == last

    def _log(self, record: StepRecord) -> None:
        measures = self._training.measured()
        if self._journal is not None:
            self._journal.step(record, measures, self._best, self._phases.current.name)
        self._watch.step(record.step, measures)

    def _require_finite(self) -> None:
        if (divergence := self._training.divergence()) is not None:
            raise diverged(divergence, self._phases.current, self._folder, self._processes)

    def _save(self, steps: int) -> None:
        training = self._training
        training.complete_ema()
        share_buffers(training.accelerator, training.student, training.ema)
        # In every process, so that all fail together.
        require_finite_state(
            training.state, steps, self._phases.current, self._folder, self._processes
        )
        interval = training.interval()
        if self._leads:
            self._keeper.save(steps, interval)
            if not self._validations:
                self._keeper.keep_best([])
            self._keeper.drop_old()

    def _validated(self, steps: int) -> bool:
        return any(validation.steps == steps for validation in self._validations)

    def _validate(self, step: int) -> None:
        """Score the model after `step`, and keep the checkpoint of the best model, which is already saved."""
        if not self._scenes or not self._training.trains_head:
            return
        training, accelerator = self._training, self._training.accelerator
        which = self._config.evaluation.weights
        model = training.ema if which == "ema" else training.student
        inference = self._config.evaluation.inference
        share = share_of(self._scenes, accelerator)
        with (
            self._reporter.bar("validate", len(share)) as bar,
            memory_errors(
                lambda detail: too_little_for_a_validation(
                    inference, self._folder.config, detail, self._processes
                )
            ),
        ):
            counts = shared_confusion(
                model,
                self._reader,
                self._scenes,
                inference,
                accelerator,
                leaving=lambda: self._signals.number > 0,
                on_scene=bar.advance,
            )
        if counts is None:
            raise self._interrupted(self._signals.agreed(accelerator))
        result = RSMTDF.score(counts, self._dataset.manifest)
        line: dict[str, Any] = {
            "step": step,
            "epoch": (step - training.first_step) // training.schedule.steps_per_epoch,
            "miou": result.miou,
            "iou": {score.name: score.iou for score in result.classes},
            "overall_accuracy": result.overall_accuracy,
            "weights": which,
            "split": "val",
        }
        if (only := only_class(counts, self._dataset.manifest.class_names)) is not None:
            line["only_class"] = only
        self._validations.append(Validation.of(line))
        if self._journal is not None:
            self._journal.validation(line, self._best)
            self._keeper.keep_best(self._validations)

    def _latest(self, step: int) -> Validation | None:
        """Return the validation after `step`; None without one."""
        return next((each for each in self._validations if each.steps == step + 1), None)

    def _runs_out_of_patience(self) -> bool:
        patience = self._config.evaluation.patience
        return patience is not None and since_best(self._validations) >= patience

    @property
    def _best(self) -> Validation | None:
        return next(iter(self._keeper.available(self._validations)), None)

    def _interrupted(self, number: int) -> Interrupted:
        return interrupted(
            number,
            self._folder,
            done=self._done,
            total=self._phases.total_steps,
            saved=self._keeper.saved,
            processes=self._processes,
        )

    @property
    def _processes(self) -> int:
        return int(self._training.accelerator.num_processes)

    def report(self) -> TrainReport:
        """Return the result of the training."""
        best = self._best
        return TrainReport(
            run=self._folder.path,
            status=self._status,
            steps=self._done,
            parameters=sum(parameter.numel() for parameter in self._training.student.parameters()),
            best_miou=None if best is None else best.miou,
            best_epoch=None if best is None else best.epoch,
            only_class=None if best is None else best.only_class,
            weights=self._config.evaluation.weights,
            trains_head=self._training.trains_head,
            random_teachers=self._phases.features.random_teachers,
            approximations=self._phases.features.approximations,
        )
