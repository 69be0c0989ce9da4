"""DREA: from the detections of an image to a representation matrix X and an adjacency matrix A.

    detections         checked, sorted by score, laid out in padded batches
    denoise            the best detections that do not repeat each other
    edges              A: proximity, salience, normalisation
    drea               X, and all of it together: `build_graphs`
    denoise_report     why a region was dropped
    visualize          a drawing of it
    import_published   the authors' own X and A instead
    describe_matrices  what they look like, in numbers

The paper says what DREA does and gives no formula, and its code was never released: the formulas are our
reconstruction, one named function a step (`docs/how/drea.md`).

Arrays hold a batch of images. Detections are columns, padded to the largest number of an image of the batch.
Boxes have their four numbers first, so that `x, y, width, height = boxes` unpacks them: centre and size,
relative to the image's width and height.

The modules know arrays only: they read no file and import no other room.
"""
