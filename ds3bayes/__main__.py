"""`python -m ds3bayes`: the command line."""

from ds3bayes.cli import main

if __name__ == "__main__":
    main()
