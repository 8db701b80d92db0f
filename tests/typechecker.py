"""The run-time type checker of the tests: beartype, with whole numbers good for numbers as PEP 484 has it."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
