"""Portrait sets: latent codes with the pictures and landmarks that a generator makes of them."""
