"""The functions of the template language, by subject; `table` holds them all."""
