"""`python -m plaudit` is the command `plaudit`."""

from plaudit.cli.main import main

main()
