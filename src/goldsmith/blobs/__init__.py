"""Content-addressed objects on local files or a bucket."""
