"""The version facts written into an image."""
