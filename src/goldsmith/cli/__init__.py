"""The command line: reads arguments, calls the same functions the server calls, prints."""
