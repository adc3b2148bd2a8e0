"""What an id does whose person was erased, once nothing of the person is left: nothing, until a PUT makes a new one."""

from models.live_state.user_record import LiveRecord
from models.live_state.visibility import HiddenSet
from tests.support.clock import wait_for
from tests.support.service import ServiceFactory, ServiceHarness


def erased_to_the_end(harness: ServiceHarness, person: str) -> str:
    """The receipt of an erasure that a night has brought to its end."""
    receipt = str(harness.request("DELETE", f"/pymk/users/{person}").json()["receipt"])
    harness.publish(harness.night(), replayed=True)
    harness.follow()

    def is_done() -> bool:  # not before lists that were given out earlier are filed, some seconds after
        harness.continue_erasures()
        return bool(harness.request("GET", f"/pymk/erasures/{receipt}").json()["state"] == "done")

    wait_for(is_done, timeout_s=30.0)
    return receipt


def test_whoever_is_erased_stays_so_until_a_put(services: ServiceFactory) -> None:
    harness = services.start()
    try:
        receipt = erased_to_the_end(harness, "fay")
        both = [
            {"kind": "connect", "user_id": "fay", "other_id": "ann"},
            {"kind": "connect", "user_id": "ann", "other_id": "fay"},
        ]
        for following in ("as it was", "begun anew"):
            assert harness.request("POST", "/pymk/events", json=both).json() == {"accepted": 0}, following
            harness.parts.live_sync.state.replace_hidden(HiddenSet())  # as in a process that was started since
        live = harness.store.get_many([harness.keys.live("fay"), harness.keys.live_profile("fay")])
        assert live == [None, None]
        assert "fay" not in LiveRecord.unpack(harness.store.get(harness.keys.live("ann"))).edges
        assert harness.request("GET", "/pymk/users/fay").status_code == 404
        assert harness.request("DELETE", "/pymk/users/fay").json()["receipt"] == receipt, "there is nobody to erase"
        assert harness.request("GET", f"/pymk/erasures/{receipt}").json()["state"] == "done"

        assert harness.request("PUT", "/pymk/users/fay", json={"company": "Acme"}).status_code == 202
        assert harness.request("POST", "/pymk/events", json=both).json() == {"accepted": 2}
        for _ in range(2):
            listed = harness.request("GET", "/pymk/recommendations", params={"user_id": "fay", "limit": 100}).json()
            assert "ann" not in [one["user_id"] for one in listed["recommendations"]]
            harness.publish(harness.night(), replayed=True)
            harness.follow()
        again = erased_to_the_end(harness, "fay")
        assert again != receipt
        assert harness.request("POST", "/pymk/events", json=both).json() == {"accepted": 0}
    finally:
        harness.close()


def test_what_was_acknowledged_before_the_erasure_is_not_of_the_new_person(services: ServiceFactory) -> None:
    """The worker completes an event's other side late: the former person's friend is no friend of the new one."""
    harness = services.start()

    def recommended() -> dict[str, set[str]]:
        """By person in the list, the mutual friends that reasons name."""
        query = {"user_id": "cid", "limit": 100}
        answer = harness.request(
            "GET", "/pymk/recommendations", params=query, headers={"Cache-Control": "no-cache"}
        ).json()
        return {
            one["user_id"]: {name for reason in one["reasons"] for name in reason.get("examples", ())}
            for one in answer["recommendations"]
        }

    try:
        connected = [{"kind": "connect", "user_id": "ann", "other_id": "cid"}]
        assert harness.request("POST", "/pymk/events", json=connected).json() == {"accepted": 1}
        assert harness.request("DELETE", "/pymk/users/cid").status_code == 202
        assert harness.request("PUT", "/pymk/users/cid", json={"company": "Acme"}).status_code == 202
        for rounds in (0, 1, 1):  # the service holds the new person's state from before what the worker adds
            harness.work(rounds)
            listed = recommended()
            assert "ann" in listed, rounds
            assert not any(listed.values()), rounds
    finally:
        harness.close()


def test_an_erasure_outlasts_merging_until_versions_are_of_after_it(services: ServiceFactory) -> None:
    """Its record holds nothing else; without it, the other side of an event of before would make the person anew."""
    harness = services.start()
    try:
        event = {"kind": "accept", "user_id": "ann", "other_id": "gus"}
        assert harness.request("POST", "/pymk/events", json=[event]).json() == {"accepted": 1}
        assert harness.request("DELETE", "/pymk/users/gus").status_code == 202
        harness.merge_records()
        harness.continue_erasures()
        record = LiveRecord.unpack(harness.store.get(harness.keys.live("gus")))
        assert record.erased
        assert not record.edges
        listed = harness.request("GET", "/pymk/recommendations", params={"user_id": "gus"}).json()
        assert (listed["served"], listed["recommendations"]) == ("empty", [])
    finally:
        harness.close()
