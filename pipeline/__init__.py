"""One file per stage, in the order of the flow; each takes a config and returns a report."""
