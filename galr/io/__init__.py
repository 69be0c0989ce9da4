"""Files: the pipeline's formats as classes (`formats`), atomic writing, images, arrays, CSV and COCO."""
