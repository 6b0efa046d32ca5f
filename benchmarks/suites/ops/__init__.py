"""Each op against its reference, against PyTorch3D, and against what the machine could do at best.

``stylerig-bench ops`` prints the table and writes it as JSON. Every row carries its parity
figure: a speed without one is not printed.
"""
