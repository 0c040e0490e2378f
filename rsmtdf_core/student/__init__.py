"""The student: encoder, DPT head, translators, fusion, and official checkpoints."""
