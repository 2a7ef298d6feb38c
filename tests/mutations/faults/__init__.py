"""Faults that somebody could make in the protocol; a test must notice each of them.

One file per subject, each with a list of its own. What changes nothing that anybody could see is no
fault, and is not in here.
"""

from importlib import import_module
from pkgutil import iter_modules

from fault import Fault

FAULTS: list[Fault] = []
for module in iter_modules(__path__):
    FAULTS += import_module(f"{__name__}.{module.name}").FAULTS
