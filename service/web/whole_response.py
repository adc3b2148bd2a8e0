"""A response whose head and body are ready, sent by one write."""

from collections.abc import Sequence

from starlette.types import Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle


async def send_whole(send: Send, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
    """Sends a response; `headers` have a content-length, and are valid: nothing checks them.

    If `send` is uvicorn's own and the connection stays open, head and body go to its transport. By two ASGI messages,
    of which uvicorn checks and copies each header, a cached list takes a tenth longer.
    """
    cycle = getattr(send, "__self__", None)
    if type(cycle) is RequestResponseCycle and _is_plain(cycle):
        _write(cycle, status, headers, body)
        return
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _is_plain(cycle: RequestResponseCycle) -> bool:
    """Whether nothing about the response needs uvicorn: an end of the connection, a HEAD, a client who reads slowly."""
    return (
        cycle.keep_alive
        and not (cycle.disconnected or cycle.response_started or cycle.flow.write_paused)
        and cycle.scope["method"] != "HEAD"
    )


def _write(cycle: RequestResponseCycle, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
    head = b"".join([b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)])
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.message_event.set()
    write = getattr(cycle.transport, "write_whole", cycle.transport.write)
    write(b"%b%b\r\n%b" % (STATUS_LINE[status], head, body))
    cycle.on_response()
