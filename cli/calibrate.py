"""`rsmtdf calibrate`: fits the temperature that calibrates a run's confidences."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import RichReporter, out, percent, show
from cli.evaluate import ScoredModel
from cli.options import Checkpoint, Run


def calibrate(
    run: Run,
    weights: Annotated[
        ScoredModel | None,
        typer.Option(
            help="Which model is calibrated.", show_default="the model validated during training"
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="The data root, if it has moved since training.")
    ] = None,
    checkpoint: Checkpoint = None,
) -> None:
    """Fit a temperature to a run's best model on the validation scenes, so that its confidences can be believed.

    Afterwards `predict` divides the logits by the temperature before it writes confidences and probabilities, and
    `evaluate` reports the calibration error with and without it. Classes do not change. The temperature belongs to one
    checkpoint; another one ignores it with a message.
    """
    from pipeline.calibrate.run import calibrate as fit

    result = fit(
        run,
        weights.value if weights else None,
        root,
        RichReporter(),
        checkpoint=checkpoint,
    )
    out.print(result.describe())
    out.print(
        f"calibration error {percent(result.ece)} % before, {percent(result.fitted_ece)} % after; "
        f"log-likelihood loss {result.fit.nll:.4f} before, {result.fit.fitted_nll:.4f} after"
    )
    show("written to", run / "calibration.json")
