"""JSON that all readers take alike."""

import json

import pytest

from models.system.strict_json import JsonFaultError, loads, loads_exactly

TAKEN = [
    '{"a":1,"b":[{"a":2},{"a":3}]}',
    '[{"kind":"view","note":"say \\"x\\": y"}]',
    '[{"kind" :\n"view"}]',
    '{"a":{"a":{"a":null}}}',
    '{"path":"\\\\u0000"}',
    '"\\ud83d\\ude00"',
    "[]",
    "[[[1]]]",
]
REFUSED = {
    '{"discoverable":true,"discoverable":false}': "'discoverable' are the values of a key that stands twice",
    '[{"kind":"view","kind":"block"}]': "'kind' are the values of a key that stands twice",
    '{"kind" : "view", "\\u006bind":"block"}': "'kind' are the values of a key that stands twice",
    '[{"a":{"b":1,"b":2}}]': "'b' are the values of a key that stands twice",
    '[[{"b":1,"b":2}]]': "'b' are the values of a key that stands twice",
}


@pytest.mark.parametrize("text", TAKEN)
def test_what_is_well_formed_is_taken(text: str) -> None:
    assert loads(text.encode()) == loads_exactly(text.encode()) == json.loads(text)


@pytest.mark.parametrize(("text", "fault"), REFUSED.items())
def test_what_readers_do_not_agree_about_is_refused(text: str, fault: str) -> None:
    for read in (loads, loads_exactly):
        with pytest.raises(JsonFaultError) as raised:
            read(text.encode())
        assert str(raised.value) == fault


@pytest.mark.parametrize(
    "text", ['"\\ud83d"', "NaN", "[1e400]", '{"a":-Infinity}', '{"a"', b'"\xed\xa0\xbd"', "[" * 5000 + "]" * 5000]
)
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    for read in (loads, loads_exactly):
        with pytest.raises(JsonFaultError):
            read(raw)


@pytest.mark.parametrize(
    ("text", "key"), [('{"a":"x\\u0000"}', "a"), ('{"a\\u0000":1}', "a\0"), ('{"a":["\\u0000"]}', "a")]
)
def test_the_slow_reader_refuses_nul(text: str, key: str) -> None:
    with pytest.raises(JsonFaultError, match=r"contains U\+0000") as raised:
        loads_exactly(text.encode())
    assert raised.value.key == key


def test_numbers_of_any_size_are_exact() -> None:
    assert loads_exactly(b"[12345678901234567890123]") == [12345678901234567890123]


def test_the_fault_of_a_large_object_is_found_at_once() -> None:
    text = "{" + ",".join(f'"{number}":1' for number in range(200_000)) + ',"199999":2}'
    with pytest.raises(JsonFaultError, match="'199999' are the values"):  # comparing all with all takes minutes
        loads(text.encode())
