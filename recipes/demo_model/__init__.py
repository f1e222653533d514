"""Recipe of the bundled demo checkpoint."""
