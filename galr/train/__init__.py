"""Training: splits, batches, augmentation, loss, step, loop, resume.

Nothing is imported here, so that `galr train --help` starts without torch.
"""
