"""Retrieval: ranks, recalls, intervals and reranking of anybody's similarity matrix.

Arrays in, arrays out. Everywhere, `image_of_sentence` carries which image a sentence speaks of: nothing
assumes how many sentences an image has, or in which order they stand.
"""
