"""One folder per verb; each verb takes a config or a run and returns a report."""

from rsmtdf_core import former_names

former_names.install()
