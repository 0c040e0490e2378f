"""Models that leave for other programs or come from them."""
