"""The rules, grouped by what they look at; each module ends with the table of its rules."""
