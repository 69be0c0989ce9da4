"""The demo dataset, drawn by this package: aerial scenes, true sentences, exact boxes.

`world` composes a scene (`lands` and `shores` lay its ground, `settle` puts things on it),
`picture` draws it, `grammar` speaks of it, `album` numbers the scenes of a dataset and writes them
down as Karpathy and COCO documents. All of it is a function of a seed, an image's number and a
size; nothing here touches a file.
"""
