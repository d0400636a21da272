"""ARM JSON of definitions, initiatives, assignments, exemptions, enrollments and attestations."""
