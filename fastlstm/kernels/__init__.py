"""Compiled kernels: arrays in, arrays out; no classes, no validation, nothing that can fail."""
