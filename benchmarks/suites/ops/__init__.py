"""``stylerig-bench ops``: each op against its reference, against PyTorch3D, and against the machine's peak rates.

`benchmark` runs it, `measure` has the timer and the rows, `face_ops` and `synthesis_ops` have one function for each op.
"""
