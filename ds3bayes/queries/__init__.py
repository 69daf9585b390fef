"""What to ask of a fit: predictions, comparisons, decisions."""
