"""`python -m ifw` is the same as `ifw`."""

from ifw.cli import main

if __name__ == "__main__":
    main()
