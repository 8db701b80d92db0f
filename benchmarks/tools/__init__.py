"""The same job by other tools, each function run in a process of its own by coming_from.py."""
