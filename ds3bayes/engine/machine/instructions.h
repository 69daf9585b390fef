// Every instruction, by name, in the order of their codes; `forward_NAME` and `reverse_NAME` do it.
// A kernel of the package's own is one line here and one file in ds3bayes/kernels.

// Kernels: ds3bayes/kernels/*.c
INSTRUCTION(log_expected_mass)
INSTRUCTION(sum_of_cells)
INSTRUCTION(log_mean_over_nodes)
INSTRUCTION(success_at_best_level)
