"""`python -m pipelines` is `ehps`."""

from pipelines.cli import main

if __name__ == "__main__":
    main()
