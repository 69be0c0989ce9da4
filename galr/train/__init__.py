"""Folds, pixels, loss, and the loop that fits a model."""
