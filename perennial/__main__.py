"""`python -m perennial`."""

from perennial.cli import main

if __name__ == "__main__":
    main()
