"""Runs both stages with the toy package and prints the verbs' reports as JSON: `use.py CONFIG`."""

import json
import sys
from pathlib import Path

import torch

from pipeline.cache.plan import plan_cache
from pipeline.config import load_config
from pipeline.evaluate.run import evaluate
from pipeline.explain import explain
from pipeline.extract.run import extract
from pipeline.runs import list_runs
from pipeline.runs.compare import compare
from pipeline.runs.report import report
from pipeline.train.run import train
from rsmtdf_core.teachers.teacher import declared_identity


def main() -> None:
    """Extract, train three runs, score and compare them, and plan a cache."""
    torch.set_num_threads(1)
    path = Path(sys.argv[1])

    def config(*overrides):
        return load_config(str(path), overrides)

    extracted = extract(config())
    again = extract(config())
    plans = (
        config("name=near", "objective.weight=1"),
        config("name=far", "objective.weight=4"),
        config("name=far", "objective.weight=4", "seed=1"),
    )
    runs = [train(plan).run for plan in plans]
    scores = [evaluate(run, protocols=["halved", "rsmtdf"])[0] for run in runs]
    folder = config().runtime.runs
    page = report(runs, folder.parent / "page.html", scenes=1)
    comparison = compare(runs, None, "test", protocol="halved")
    print(
        json.dumps(
            {
                "stores": [store.path.name for store in extracted.stores],
                "new": [[store.new for store in each.stores] for each in (extracted, again)],
                "identity": declared_identity(config().teachers[0], 64),
                "runs": [run.model_dump(mode="json") for run in list_runs(folder).runs],
                "groups": {group.label: len(group.runs) for group in comparison.groups},
                "miou": [
                    [each.by_protocol[name].scores.miou for name in ("halved", "rsmtdf")]
                    for each in scores
                ],
                "page": page.path.read_text(),
                "choices": [
                    [estimate.choice, *(store.label for store in estimate.stores)]
                    for estimate in plan_cache(config()).advice.estimates
                ],
                "explained": [each.model_dump() for each in explain("objective.weight")],
            }
        )
    )


if __name__ == "__main__":
    main()
