"""Signed statements about an image: who built it, from what, and what it was tested to do."""
