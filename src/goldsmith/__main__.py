"""`python -m goldsmith` is the `goldsmith` command."""

from goldsmith.cli.main import main

if __name__ == "__main__":
    main()
