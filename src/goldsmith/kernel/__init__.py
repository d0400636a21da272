"""Ids, clock, errors and running programs: what every other room stands on."""
