"""`python -m citymote`: the command line where its script is not on the PATH."""

from citymote.cli import main

if __name__ == "__main__":
    main()
