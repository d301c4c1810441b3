# SPDX-License-Identifier: MIT
"""The one exception of this package that is meant for people."""

from __future__ import annotations


class ConvertError(Exception):
    """One sentence: which file, which tensor or field, what was expected, what to do."""
