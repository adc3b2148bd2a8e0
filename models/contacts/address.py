"""The recipe by which an e-mail address or a phone number becomes a hash, and the keyed hash that is kept of it.

A caller normalises and hashes (`address_hash`): the e-mail address as email-validator normalises it, in lower case, or
the phone number in E.164 by phonenumbers; then SHA-256 of its UTF-8, in hexadecimal. The service keeps
HMAC-SHA-256 (RFC 2104) of that under a key which no caller has, cut to KEPT_BYTES.
"""

import hashlib
import hmac
import re
import secrets

from models.errors import StoreUnavailableError, UsageError
from models.store.keys import Keys
from models.store.protocol import AsyncStore, SyncStore

KEPT_BYTES = 16
"""of a keyed hash"""
KEY_BYTES = 32
HASH = re.compile(r"[0-9a-fA-F]{64}")
"""what a caller sends for an address"""


def normalised(address: str, region: str | None = None) -> str:
    """An e-mail address or a phone number in the one form that is hashed.

    `region` is the country of phone numbers without one, two letters such as DE. Raises UsageError if it is neither.
    """
    text = address.strip()
    if "@" in text:
        from email_validator import EmailNotValidError, validate_email

        try:
            return str(validate_email(text, check_deliverability=False).normalized).lower()
        except EmailNotValidError as error:
            raise UsageError(f"{text!r} is not an e-mail address: {error}") from error
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        missing = error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE and region is None
        advice = "; a number without +COUNTRY needs a region" if missing else ""
        raise UsageError(f"{text!r} is neither an e-mail address nor a phone number: {error}{advice}") from error
    if not phonenumbers.is_possible_number(number):
        raise UsageError(f"{text!r} has not as many digits as a phone number of its country")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def address_hash(address: str, region: str | None = None) -> str:
    """What a caller sends for an address: SHA-256 of its normalised form, 64 hexadecimal digits. Raises UsageError."""
    return hashlib.sha256(normalised(address, region).encode()).hexdigest()


def keyed(hashes: list[str], key: bytes) -> list[bytes]:
    """The KEPT_BYTES that are kept of each hash that a caller sent."""
    return [hmac.digest(key, bytes.fromhex(one), "sha256")[:KEPT_BYTES] for one in hashes]


async def network_key(store: AsyncStore, keys: Keys, setting: str | None) -> bytes:
    """The key of the network: of the setting, else the one in the store, which is drawn if there is none.

    Raises StoreError.
    """
    if setting is not None:
        return _of_setting(setting)
    key = await store.get(keys.contacts_key)
    if key is None:
        await store.compare_and_set(keys.contacts_key, None, secrets.token_bytes(KEY_BYTES))
        key = await store.get(keys.contacts_key)
    return _drawn(key)


def network_key_blocking(store: SyncStore, keys: Keys, setting: str | None) -> bytes:
    """The same as `network_key` for the commands."""
    if setting is not None:
        return _of_setting(setting)
    key = store.get(keys.contacts_key)
    if key is None:
        store.compare_and_set(keys.contacts_key, None, secrets.token_bytes(KEY_BYTES))
        key = store.get(keys.contacts_key)
    return _drawn(key)


def _drawn(key: bytes | None) -> bytes:
    """The key that is in the store. Raises StoreUnavailableError if it is not there, though it was drawn."""
    if not key:
        raise StoreUnavailableError("The key of contacts was lost as soon as it was drawn; try again.")
    return key


def _of_setting(setting: str) -> bytes:
    return hashlib.sha256(setting.encode()).digest()
