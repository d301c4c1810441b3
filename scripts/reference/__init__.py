# SPDX-License-Identifier: MIT
"""Reference implementations in NumPy that the C++ code is proved against, and what makes its golden data."""
