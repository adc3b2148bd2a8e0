"""PUT /pymk/users/{user_id}/contacts: who is in a user's address book, as hashes."""

import asyncio
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from itertools import islice
from math import ceil
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from models.contacts.address import HASH, keyed, network_key
from models.contacts.record import ContactRecord
from models.contacts.write_contacts import Gone, TooMany, write_contacts
from service.api.dependencies import MAY_WRITE, AppContainer, PathUser
from service.api.events import WRITE_WAIT_FACTOR, write_wait_s
from service.api.openapi import problems
from service.api.request_body import documented, json_body
from service.web.problems import ProblemError, invalid_all

MOST_OWN = 20
"""own addresses of a user"""
MOST_NAMED = 20
"""faults of a body that an answer names at most"""

router = APIRouter(prefix="/pymk", tags=["people"])


class ContactsAnswer(BaseModel):
    """What is kept of a user's contacts."""

    contacts: int
    """addresses in the address book"""
    own: int
    """own addresses, by which others who have them find the user"""


_HASHES = {
    "type": "array",
    "items": {"type": "string", "pattern": r"^[0-9a-fA-F]{64}$"},
    "description": "SHA-256 of normalised addresses, in hexadecimal: `pymk hash-contacts` makes them.",
}
_BODY = {
    "anyOf": [
        _HASHES,
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "contacts": _HASHES,
                "own": _HASHES,
            },
        },
    ],
    "description": "The contacts alone, or `contacts`, up to 100,000, and `own`, up to 20; what is absent stays.",
    "example": {"contacts": ["0" * 64], "own": ["1" * 64]},
}


@router.put(
    "/users/{user_id}/contacts",
    status_code=HTTPStatus.ACCEPTED,
    dependencies=[MAY_WRITE],
    responses=problems(401, 403, 404, 413, 422, 429, 503),
    openapi_extra=documented(_BODY),
)
async def put_contacts(user_id: PathUser, request: Request, container: AppContainer) -> ContactsAnswer:
    """Replace a user's contacts; an empty list takes them back, and nobody is suggested as a contact from then on.

    If any entry is wrong, nothing changes. Those of the contacts who are here are in the user's next lists, and who
    joins later is from then on; neither learns of it.
    """
    settings, store, keys = container.settings, container.stores.requests, container.keys
    contacts, own = await _checked(await json_body(request), settings.contacts_most)
    secret = None if settings.contacts_key is None else settings.contacts_key.get_secret_value()

    async def write() -> ContactRecord | TooMany | Gone:
        async with container.contact_turns.of(user_id):
            key = await network_key(store, keys, secret)
            return await write_contacts(
                store,
                keys,
                user_id,
                contacts=None if contacts is None else frozenset(await asyncio.to_thread(keyed, contacts, key)),
                own=None if own is None else frozenset(keyed(own, key)),
                daily=settings.contacts_daily,
                after=container.live_sync.after,
                wait_s=settings.redis_timeout_ms / 1000 * WRITE_WAIT_FACTOR,
            )

    written = await store.durably(write, write_wait_s(container))
    if isinstance(written, Gone):
        raise ProblemError(HTTPStatus.NOT_FOUND, "this user was erased; a PUT of a profile registers the id anew")
    if isinstance(written, TooMany):
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "more new contacts and own addresses within 24 hours than "
            f"PYMK_CONTACTS_DAILY={settings.contacts_daily} allows: "
            f"{written.left} are left",
            headers={"Retry-After": str(ceil(written.again_s))},
        )
    return ContactsAnswer(contacts=len(written.contacts), own=len(written.own))


async def _checked(body: Any, most: int) -> tuple[list[str] | None, list[str] | None]:
    """The contacts and the own addresses of a body. Raises ProblemError 413 or 422 that names what is wrong."""
    lists: dict[str, tuple[Any, int]] = {"": (body, most)} if isinstance(body, list) else {}
    if isinstance(body, dict):
        unknown = [name for name in body if name not in ("contacts", "own")]
        if unknown or not body:
            name = unknown[0] if unknown else ""
            raise invalid_all([(name, "body", "the members of this body are contacts and own")])
        lists = {name: (body[name], most if name == "contacts" else MOST_OWN) for name in body}
    elif not isinstance(body, list):
        raise invalid_all([("", "body", "the body must be a list of hashes, or an object with contacts and own")])
    for name, (hashes, limit) in lists.items():
        if isinstance(hashes, list) and len(hashes) > limit:
            where = f"{name}.{limit}" if name else str(limit)
            raise ProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{where}: {len(hashes)} hashes; at most {limit} are allowed"
                + (" (PYMK_CONTACTS_MOST)" if name != "own" else ""),
                members={"errors": [{"parameter": where, "in": "body", "detail": f"one more than {limit}"}]},
            )
    faults = [fault for name, (hashes, _) in lists.items() for fault in await asyncio.to_thread(_faults, name, hashes)]
    if faults:
        raise invalid_all([(name, "body", fault) for name, fault in faults[:MOST_NAMED]])
    found = {name: [one.lower() for one in hashes] for name, (hashes, _) in lists.items()}
    return found.get("", found.get("contacts")), found.get("own")


def _faults(name: str, hashes: Any) -> list[tuple[str, str]]:
    """(name of an entry, what is wrong with it), the first of them."""
    if not isinstance(hashes, list):
        return [(name, "must be a list of hashes")]
    return list(islice(_each(f"{name}." if name else "", hashes), MOST_NAMED))


def _each(prefix: str, hashes: Sequence[Any]) -> Iterator[tuple[str, str]]:
    first: dict[str, int] = {}
    for at, one in enumerate(hashes):
        if not isinstance(one, str) or not HASH.fullmatch(one):
            length = f", not {len(one)} characters" if isinstance(one, str) and len(one) != 64 else ""
            yield f"{prefix}{at}", f"must be a SHA-256 in 64 hexadecimal digits{length}"
        elif (before := first.setdefault(one.lower(), at)) != at:
            yield f"{prefix}{at}", f"is the same as entry {before}"
