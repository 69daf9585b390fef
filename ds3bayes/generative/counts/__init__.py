"""Counts of right attempts: their likelihood on nodes of logit success."""
