"""Compliance of the fleet: the scan, the states it leaves behind, their summaries and remediation."""
