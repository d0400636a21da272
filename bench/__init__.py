"""Paired timings against named peers on the same work; run with `make bench`."""
