"""Regions of images: where they come from, and what views show of them."""
