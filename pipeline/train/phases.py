"""The phases of a run: distillation, if the config asks for it, and the method (tests: test_pretrain.py).

Each phase has its own student, optimizer, data and learning rates. At the border, the student of the next phase starts
from the weights of the last checkpoint, as with `--init-from`, and its optimizer starts without moments. So a run with
`objective.pretrain` computes the same as a run of the method distill and another one that starts from its weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from pipeline.config import ExperimentConfig
from pipeline.plan import Experiment
from pipeline.reporter import Reporter
from pipeline.train.features import Features, merged
from pipeline.train.initial import Initial, start_from
from rsmtdf_core.runs.checkpoint_state import checkpoint_name
from rsmtdf_core.runs.folder import RunFolder
from rsmtdf_core.training.loop import Training

PRETRAIN = "pretrain"


@dataclass(frozen=True)
class Phase:
    """A phase of a run.

    Attributes:
        experiment: the experiment with the config of the phase.
        features: cached features that the phase reads.
        training: its training.
        name: its name in logs; empty for the method.
    """

    experiment: Experiment
    features: Features
    training: Training
    name: str = ""

    @property
    def config(self) -> ExperimentConfig:
        """The config of the phase."""
        return self.experiment.config

    @property
    def lr_key(self) -> str:
        """The config key of its learning rate."""
        return "objective.pretrain.lr" if self.name == PRETRAIN else "optimiser.lr"


class Phases:
    """The phases of a run in order, of which one trains.

    Args:
        phases: each continues at the last step of the phase before.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        self._left = list(phases)
        self.features = merged([phase.features for phase in phases])
        """Facts about the features of the whole run."""
        self.total_steps = phases[-1].training.end
        """Number of steps of the whole run."""

    def __iter__(self) -> Iterator[Phase]:
        """Iterate over the phases that have not ended."""
        return iter(tuple(self._left))

    @property
    def current(self) -> Phase:
        """The phase that trains, at first the first one."""
        return self._left[0]

    def select(self, step: int) -> Phase:
        """Select the phase whose checkpoint has `step` trained steps. At a border, it is the phase that ends there."""
        while len(self._left) > 1 and step > self.current.training.end:
            del self._left[0]
        return self.current

    def advance(self, folder: RunFolder, reporter: Reporter) -> bool:
        """Go on with the next phase, from the weights of the current one; return False after the last phase.

        Args:
            folder: the run's folder, which has the checkpoint of the border.
            reporter: shows the parts that were not loaded.
        """
        if len(self._left) == 1:
            return False
        method, last = self.current.config.objective.method, self._left.pop(0).training
        following = self.current.training
        weights: dict[str, Tensor] = last.student.state_dict()
        checkpoint = folder.checkpoints / checkpoint_name(last.end)
        # With --init-from, the head may have been trained before this run.
        headless = None if folder.facts.get("initial") else method
        initial = Initial(checkpoint, "", "student", weights, headless)
        start_from(initial, following.student, following.ema, reporter)
        # It refers to the wrapped model and the optimizer of the phase that ended.
        following.accelerator.free_memory()
        return True
