"""Ranks and reranks of two embedding tables, without the matrix of their products.

`products` says what a product is, tile by tile; `best` keeps the best of every list while the tiles go by,
`counts` counts what is larger, `search` walks over the tiles twice and hands the rest of the room what it
would have read off the matrix.
"""
