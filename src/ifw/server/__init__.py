"""The HTTP API: routes, bodies, headers and keys. What they stand for is done in `ifw.service`."""
