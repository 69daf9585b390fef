"""Graphs run on a tape: from a PyTensor graph to its values and gradients without compiling anything.

A PyMC model's log density is a graph of some hundred operations on arrays whose shapes are known once the data are.
`translate` writes them down as instructions that say where in one array of numbers their inputs and outputs stand; the
machine, a C library that was compiled when the package was installed (``machine/``, and ``kernels/`` beside this
folder), runs the instructions one after the other for the value, and in reverse for the gradient. The graph stays the
only statement of the model: the tape is written from it for every fit, in about 20 ms.

========== ==============================================================================================
library    finds the compiled machine, and the best of its levels for this processor
tape       writes instructions, and holds a finished tape that any number of threads may run
translate  one function per kind of PyTensor operation; users' models may use any that are there
density    a PyMC model as two tapes: log density with gradient, and every variable as people read it
starting   where chains start
chains     chains beside each other, each by a seed of its own
journal    what a chain was told of its density, kept in a file: a killed chain goes on from there
nuts       NUTS by nutpie's Rust core, which calls a tape by its address
fallback   what runs a model that has an operation which the machine lacks: nutpie's own compiler
evaluate   expressions at many draws: task effects, pointwise likelihoods, densities of priors
build      compiles the machine when the package is installed
========== ==============================================================================================

Why not a runtime that exists, for the model game24 on two cores:

* PyTensor's default linker: 74 s of compiling in a first process and 5 s in every later one, which then draws other
  last digits, since what is on disk was optimised differently.
* PyTensor's C linker: 138 s of compiling in a first process and 5 s in every later one, a compiler on the user's
  machine, and 1.9 ms a gradient, since the package's own operations stay in NumPy; a tape takes .2 ms.
* JAX: 7 s of compiling in every process and .8 s of importing, 300 MB; .9 ms a gradient with the package's own
  operations left out, which would have to be written for it again.
* nutpie's Python front end imports ArviZ, matplotlib and a compiler, 4 s before anything is done; its core is used
  alone.

A tape starts after .04 s, draws the same in a first and a tenth run, and its libraries are 1 MB.
"""
