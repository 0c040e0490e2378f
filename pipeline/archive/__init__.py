"""Uses of cached tokens beyond training: the scenes to label next, and the views most similar to an image."""
