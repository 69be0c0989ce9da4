"""DREA: from an image's detections to a representation matrix X and an adjacency matrix A (METHOD 3).

    detections.in_order → denoise.denoised → drea.represented                      X
                             → adjacency.nearness → enhanced → normalised     A
    fates → drawing, legend                                                 what became of each detection
    unpickle → published, summary                                           the authors' own X and A instead

The published code never released this step and the paper gives no formula. What follows is *our
reconstruction* of what the paper says it does; each step is a named function and says what it computes.

Arrays hold a batch of images. Detections stand in columns, padded to the most that an image of the batch
has; boxes have their four numbers first, so that `x, y, width, height = boxes` reads them: the centre and
the size, in units of the image's width and height.
"""
