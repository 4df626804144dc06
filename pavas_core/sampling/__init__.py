"""Flow matching: from noise to an audio latent."""
