"""Stage two: the student learns from cached features."""
