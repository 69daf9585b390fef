"""The generative model: a specification and evaluations become a PyMC model."""
