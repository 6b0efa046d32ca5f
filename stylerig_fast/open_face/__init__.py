"""What the open face model is made with: source data, mesh, shape spaces, landmarks, albedo.

Only the builder imports this package; using a face model needs none of it.
"""
