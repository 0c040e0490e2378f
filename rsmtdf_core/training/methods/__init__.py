"""Training methods: the losses that a student minimizes, with one file for each method."""
