"""Named, exact rules that turn counted pixels into scores; `registry` has them by name."""
