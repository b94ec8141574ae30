"""`python -m vixml` is the command `vixml`."""

from vixml.commands import main

if __name__ == "__main__":
    main()
