"""rsmtdf from Python."""
