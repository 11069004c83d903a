"""`python -m leadsquared_async` is `leadsquared`."""

from leadsquared_async.cli import main

if __name__ == "__main__":
    main()
