"""How an Engine makes pictures: what a backend is and which one is chosen (`base`), and one file for each.

To add one, write a class with the methods of `base.Backend` and a function ``make``, and name its module in
`base.BACKENDS`.
"""
