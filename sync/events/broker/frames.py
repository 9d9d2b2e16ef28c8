"""Frames as a broker sends them, read so that no message breaks a connection, and none fills the memory.

Whoever may publish chooses a message's headers and its size. pika gives a connection up over headers that it can't
read, and the broker would send the same message again over the next one, for ever; and it gathers a body in memory
however large it is.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

MOST = 1 << 20
"""Bytes of a body: what is larger is passed over."""


def refused(properties: Any) -> tuple[str, str]:
    """Why a message that arrived with these properties is not to be looked at, and a detail; mostly empty."""
    reason, detail = getattr(properties, "refused", ("", ""))
    return reason, detail


class _Frames:
    """What is mixed into a connection of pika."""

    _frame_buffer: bytes

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._unread: dict[int, int] = {}
        """By channel: how many bytes of a body are still to be passed over."""
        super().__init__(*args, **kwargs)

    def _read_frame(self) -> tuple[int, Any]:
        from pika import frame

        try:
            read, found = super()._read_frame()  # type: ignore[misc]
        except Exception:  # of any kind: also a date in the year 10000, or tables in tables in tables
            read, found = _header_only(self._frame_buffer)
        if isinstance(found, frame.Header) and found.body_size > MOST:
            self._unread[found.channel_number] = found.body_size
            return read, _header(found.channel_number, 0, "too-large", f"{found.body_size} bytes")
        if isinstance(found, frame.Body) and self._unread.get(found.channel_number):
            self._unread[found.channel_number] -= len(found.fragment)
            return read, frame.Heartbeat()  # it is a sign of life, at least
        return read, found


def _header_only(data: bytes) -> tuple[int, Any]:
    """The frame of a message whose properties can't be read, without them. Raises what any other frame does."""
    from pika import frame, spec

    kind, channel, size = struct.unpack_from(">BHL", data)
    if kind != spec.FRAME_HEADER:
        return frame.decode_frame(data)  # type: ignore[no-any-return]
    (body_size,) = struct.unpack_from(">Q", data, spec.FRAME_HEADER_SIZE + 4)
    end = spec.FRAME_HEADER_SIZE + size + spec.FRAME_END_SIZE
    return end, _header(channel, body_size, "malformed", "headers that can't be read")


def _header(channel: int, body_size: int, reason: str, detail: str) -> Any:
    from pika import BasicProperties, frame

    properties = BasicProperties()
    properties.refused = reason, detail
    return frame.Header(channel, body_size, properties)


@cache
def connection_class() -> Any:
    """pika's connection, with frames read like that."""
    import pika

    return type("Connection", (_Frames, pika.SelectConnection), {})
