"""What this host can do: probes, and what to install when something is missing."""
