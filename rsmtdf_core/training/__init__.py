"""Training the student: data, losses, objectives, schedule, EMA, loop and checkpoints."""
