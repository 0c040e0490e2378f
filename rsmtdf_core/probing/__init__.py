"""Linear probes of features: how well a linear map of tokens predicts the classes, and how similar features are."""
