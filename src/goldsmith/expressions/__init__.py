"""Template expressions `[...]`: one lexer, parser and function table for policy rules and deployments."""
