"""Semantic segmentation with everything trained, by MMSegmentation."""
