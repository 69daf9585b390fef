"""The package's own operations: a PyTensor operation, its definition in NumPy, and its kernel for the machine."""
