"""The event of a segment that has become final."""

from __future__ import annotations

from typing import Any, Final

from ifw.formats.json import segment_dict
from ifw.types import Segment

SEGMENT: Final = "segment"
"""The type of the event."""


def segment_event(segment: Segment) -> dict[str, Any]:
    """The event of a segment that has become final: the segment without its tokens."""
    shown = {name: value for name, value in segment_dict(segment).items() if not name.startswith("token_")}
    return {"type": SEGMENT, **shown}
