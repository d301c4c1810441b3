# SPDX-License-Identifier: MIT
"""The sections of `make bench`, each a module; scripts/bench.py is what one runs."""
