"""The type checker that pytest applies to relook's tensor code: shapes in annotations are checked at every call."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""An int is a float here, as everywhere in Python's typing."""
