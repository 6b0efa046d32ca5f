"""Plain-torch twins of the compiled operations: the specification that the kernels are tested against."""
