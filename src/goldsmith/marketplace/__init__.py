"""Where base images come from: publishers, offers, SKUs, versions and their captures."""
