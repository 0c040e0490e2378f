"""The cache: the folder of stores that experiments share."""
