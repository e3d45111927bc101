"""Numbers in messages and reports: what no process writes is refused, as others reckon with it.

Every broker user may write a message, and JSON has numbers such as 1e308.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Time = Annotated[float, msgspec.Meta(ge=0.0, le=1e12)]
"""Unix time in seconds; the year 9999 ends at 2.5e11."""
Seconds = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]
"""A difference of two times. A clock that was set makes it negative."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
