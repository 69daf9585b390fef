"""Closed forms of directed stochastic skill search (Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004).

Every formula is one function that builds a PyTensor expression: a model uses the expression itself,
`evaluate` runs the same expression on NumPy arrays.
"""
