# SPDX-License-Identifier: MIT
"""A mistake of run.py: it replaces texts that occur exactly once in their file.

A name begins with the number of the bug of docs/testing.md that it repeats, or with the module.
"""
import collections

Mutant = collections.namedtuple(
    "Mutant", "name path changes program case environment preset tries",
    defaults=("*", {}, "release", 1))

TWO = {"WEFT_WORKERS": "2"}
FOUR = {"WEFT_WORKERS": "4"}
CHAOS = {"WEFT_WORKERS": "16", "WEFT_CHAOS": "7"}
