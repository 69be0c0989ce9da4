"""Ranks, recalls, intervals and reranks of any similarity matrix.

Arrays in, arrays out: no module here reads or writes a file. `image_of_sentence` (sentences,) holds the row of
the image that each sentence describes, so an image may have any number of sentences, in any order.
"""
