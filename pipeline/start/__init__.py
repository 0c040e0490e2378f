"""From a folder of images to a trained model: settings that fit the data, the machine and the time, each with a reason.

`looking` reads data, machine and weights, `choosing` and `timing` decide (pure functions), `measuring` times a step,
`text` writes the config, and `run` goes through all of them.
"""

from pipeline.start.run import (
    StartReport,
    manifest_of,
    propose,
    require_free_config,
    run_all,
    write_config,
)
from pipeline.start.values import Proposal

__all__ = [
    "Proposal",
    "StartReport",
    "manifest_of",
    "propose",
    "require_free_config",
    "run_all",
    "write_config",
]
