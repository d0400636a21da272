"""Every rule over every resource: dictionary-coded columns, one truth table a condition, packed bitmaps."""
