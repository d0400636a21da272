"""Galleries, image definitions and image versions."""
