"""Durable work: jobs that go on at the unfinished step after a crash."""
