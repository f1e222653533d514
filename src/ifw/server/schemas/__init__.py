"""Bodies on the wire, one module a family of clients."""
