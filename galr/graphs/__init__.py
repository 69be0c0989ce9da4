"""DREA: from the detections of an image to a representation matrix X and an adjacency matrix A.

    detections  pad_by_score      detections checked, sorted, laid out in batches
    denoise     suppress_redundant  the best detections that do not repeat each other
    drea        node_features       X
    edges       adjacency_matrix    A
    drea        build_graphs      all of it
    denoise_report, visualize     why a region was dropped; a drawing of it
    import_published, describe_matrices   the authors' own X and A instead, and what they look like

The paper says what DREA does and gives no formula, and its code was never released: the formulas are our
reconstruction, one named function a step (`docs/how/drea.md`).

Arrays hold a batch of images. Detections are columns, padded to the largest number of an image of the batch.
Boxes have their four numbers first, so that `x, y, width, height = boxes` unpacks them: centre and size,
relative to the image's width and height.

The modules know arrays only: they read no file and import no other room.
"""
