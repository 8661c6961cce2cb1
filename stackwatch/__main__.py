"""`python -m stackwatch`: the command line."""

from stackwatch.cli import main

main()
