"""The Azure Policy language as a pure library: definitions, assignments, evaluation, explanation."""
