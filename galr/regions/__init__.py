"""Regions: boxes, scores and classes of every image, through any mmdet 3.x detector or from any other tool."""
