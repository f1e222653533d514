"""What a route asks for by name in its signature."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from ifw.service.service import Service


def service_of(request: Request) -> Service:
    """The service behind this app."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


ServiceOf = Annotated[Service, Depends(service_of)]
