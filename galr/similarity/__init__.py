"""Similarity: encode each image and sentence once, read a trained run, and verify its results.

Nothing is imported here, so that `galr similarity --help` starts without torch.
"""
