"""The software bill of materials of a sealed root file system."""
