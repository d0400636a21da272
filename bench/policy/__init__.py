"""Policies on one VM, on a fleet of a million, and beside those who evaluate rules of their own."""
