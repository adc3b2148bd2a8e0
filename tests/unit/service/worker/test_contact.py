"""A fault that lasts is one line in the log, whichever parts meet it."""

import pytest
from structlog.testing import capture_logs

from models.errors import ArtefactError, StoreUnavailableError
from service.worker.contact import Contact


@pytest.fixture
def contact() -> Contact:
    return Contact()


def test_a_store_that_is_away_is_one_line_and_its_return_another(contact: Contact) -> None:
    with capture_logs() as logged:
        for _ in range(10):
            for part in ("refreshes", "log", "erasures", "exposure"):
                contact.failed(part, f"{part}_wait", StoreUnavailableError("The store does not answer."))
        assert contact.is_away
        assert contact.fault() == "the store does not answer"
        for part in ("log", "refreshes", "exposure"):
            contact.answered(part)
        assert contact.is_away, "not every part has got an answer"
        contact.worked("erasures")
        contact.worked("erasures")
    assert [line["event"] for line in logged] == ["store_away", "store_back"]
    assert contact.failures == dict.fromkeys(("refreshes", "log", "erasures", "exposure"), 10)
    assert contact.fault() is None


def test_each_part_says_its_own_fault_once_and_again_after_it_worked(contact: Contact) -> None:
    with capture_logs() as logged:
        for _ in range(3):
            contact.failed("log", "log_waits", OSError("the disk is full"))
            contact.failed("erasures", "erasures_wait", ArtefactError("damaged"))
        contact.worked("log")
        contact.failed("log", "log_waits", OSError("the disk is full"))
    assert [(line["event"], line["error"]) for line in logged] == [
        ("log_waits", "the disk is full"),
        ("erasures_wait", "damaged"),
        ("log_waits", "the disk is full"),
    ]
    assert contact.fault() == "damaged; the disk is full"


def test_what_a_part_waits_for_is_said_once(contact: Contact) -> None:
    with capture_logs() as logged:
        for _ in range(3):
            contact.waits("refreshes", "no version is published yet")
    assert [line["reason"] for line in logged] == ["no version is published yet"]
