"""What an id does whose person was erased, once nothing of the person is left: nothing, until a PUT makes a new one."""

from typing import Any

from models.live_state.user_record import LiveRecord


def erased_to_the_end(whole: Any, person: str) -> str:
    """The receipt of an erasure that a night has brought to its end."""
    receipt = str(whole.ask("DELETE", f"/pymk/users/{person}").json()["receipt"])
    whole.publish(whole.night(), replayed=True)
    whole.follow()
    for _ in range(2):
        whole.erase_further()
    assert whole.ask("GET", f"/pymk/erasures/{receipt}").json()["state"] == "done"
    return receipt


def test_whoever_is_erased_stays_so_until_a_put(beginnings: Any) -> None:
    whole = beginnings.begin()
    try:
        receipt = erased_to_the_end(whole, "fay")
        both = [
            {"kind": "connect", "user_id": "fay", "other_id": "ann"},
            {"kind": "connect", "user_id": "ann", "other_id": "fay"},
        ]
        for following in ("as it was", "begun anew"):
            assert whole.ask("POST", "/pymk/events", json=both).json() == {"accepted": 0}, following
            whole.parts.live_sync.state.reset()  # as in a process that was started since
        live = whole.store.get_many([whole.keys.live("fay"), whole.keys.live_profile("fay")])
        assert live == [None, None]
        assert "fay" not in LiveRecord.unpack(whole.store.get(whole.keys.live("ann"))).edges
        assert whole.ask("GET", "/pymk/users/fay").status_code == 404
        assert whole.ask("DELETE", "/pymk/users/fay").json()["receipt"] == receipt, "there is nobody to erase"
        assert whole.ask("GET", f"/pymk/erasures/{receipt}").json()["state"] == "done"

        assert whole.ask("PUT", "/pymk/users/fay", json={"company": "Acme"}).status_code == 202
        assert whole.ask("POST", "/pymk/events", json=both).json() == {"accepted": 2}
        for _ in range(2):
            listed = whole.ask("GET", "/pymk/recommendations", params={"user_id": "fay", "limit": 100}).json()
            assert "ann" not in [one["user_id"] for one in listed["recommendations"]]
            whole.publish(whole.night(), replayed=True)
            whole.follow()
        again = erased_to_the_end(whole, "fay")
        assert again != receipt
        assert whole.ask("POST", "/pymk/events", json=both).json() == {"accepted": 0}
    finally:
        whole.close()
