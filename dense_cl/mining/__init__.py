"""Alike regions of different images, found with a pretrained backbone (the second stage of ORL)."""
