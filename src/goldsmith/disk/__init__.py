"""Root trees, layers and disk images."""
