"""`python -m undertone` is the command `undertone`."""

from undertone.cli import main

main()
