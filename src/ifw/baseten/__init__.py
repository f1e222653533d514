"""The model that Baseten's own inference server (Truss) loads; what is deployed is in `deploy/truss`."""
