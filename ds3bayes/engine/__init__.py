"""Graphs run on a tape."""
