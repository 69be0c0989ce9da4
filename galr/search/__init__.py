"""Search: an index of anybody's pictures, and sentences or pictures that look into it.

Only what embeds pictures loads the whole model and the detector; a sentence is answered without either.
"""
