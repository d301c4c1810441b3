# SPDX-License-Identifier: MIT
"""Trains a model of one's own: text -> stories -> vocabulary -> tokens -> model -> GGUF or llama2.c."""
