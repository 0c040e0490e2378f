"""The command line: parse, call one stage, show its report."""
