"""Baselines behind the interface of `measurement.edit_method.EditMethod`, one file each; `fit` makes all of them."""
