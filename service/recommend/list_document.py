"""The JSON document of a list, over HTTP and in bulk."""

import orjson

from service.recommend.responses import Answer


def document(user_id: str, request_id: str | None, answer: Answer) -> bytes:
    """The JSON of a list; without a request id it has none."""
    body = b'{"user_id":%b,%b"version":"%b","served":"%b","recommendations":[%b]}' % (
        orjson.dumps(user_id),
        b"" if request_id is None else b'"request_id":"%b",' % request_id.encode(),
        answer.version.encode(),
        answer.served.encode(),
        answer.entries,
    )
    if answer.ask is not None:
        body = b'%b,"ask":%b}' % (body[:-1], orjson.dumps(answer.ask))
    if answer.arms:
        body = b'%b,"arms":%b}' % (body[:-1], orjson.dumps(dict(answer.arms)))
    return body if answer.next is None else b'%b,"next":"%b"}' % (body[:-1], answer.next.encode())
