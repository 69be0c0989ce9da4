"""The synthetic demo dataset: aerial scenes drawn by this package, with true sentences and exact boxes.

`samples` is the way in: it composes a scene (`landscapes` gives the ground, `placement` puts the
objects on it), renders it (`textures` and `sprites`), writes sentences about it (`captions`) and
describes a whole dataset as Karpathy and COCO documents. Everything is a function of a seed, an
index and a size; nothing here reads or writes a file.
"""
