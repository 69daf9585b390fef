"""Sampling a model, checking the fit, and keeping it."""
