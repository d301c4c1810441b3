# SPDX-License-Identifier: MIT
"""Checkpoints of PyTorch and Hugging Face as GGUF files, with the tensor names and keys of llama.cpp's converter.

Reads them (checkpoint.py and what it uses), names and arranges their tensors for each architecture (architectures.py),
takes over vocabulary and chat template (vocabulary.py), and writes and validates the file (output.py). conversion.py
puts these together; scripts/convert_models.py and convert_all.py are the programs.
"""
