"""The command `pullback`, as `python -m pullback`."""

from .cli import main

main()
