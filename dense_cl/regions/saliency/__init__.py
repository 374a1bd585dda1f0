"""Which pixels of an image are salient: given, found by classical means, or by our own features."""
