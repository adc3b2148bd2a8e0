"""The path of somebody new on the page: the question, contacts, first friends.

The clock of the page stands, so that the list is drawn once more after an upload when a test says so, not before.
"""

from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.support.console import ConsoleService, Tab

LISTS, CONTACTS = "**/pymk/recommendations?*", "**/contacts"
WORKER_MS = 1500
"""after which the page looks for what the worker made of an upload"""
SHOWN = "() => !document.body.classList.contains('waiting')"
"""that what was fetched last is drawn"""


@pytest.fixture
def user_id(request: pytest.FixtureRequest) -> str:
    """Of somebody whom the service does not know: each test's own."""
    return str(request.node.name)


@pytest.fixture
def page(tab: Tab, user_id: str) -> Page:
    """A page whose clock stands, with the list of somebody new."""
    tab.page.clock.install()
    tab.page.clock.pause_at(datetime.now().astimezone() + timedelta(hours=1))
    tab.look_up(user_id)
    return tab.page


def drawn_again(page: Page) -> None:
    """Has the page draw the list once more, as it does when the worker has seen an upload."""
    with page.expect_response(LISTS):
        page.clock.run_for(WORKER_MS)
    page.wait_for_function(SHOWN)


def asked(page: Page) -> str:
    """The column of the question."""
    return page.locator(".ask").get_attribute("data-column") or ""


def answered(page: Page, value: str) -> str:
    """Answers the question by keyboard; returns its column."""
    column = asked(page)
    page.locator(".ask input").fill(value)
    page.locator(".ask input").press("Enter")
    expect(page.get_by_role("status")).to_contain_text(f"{column} is noted.")
    return column


def opened(page: Page) -> Locator:
    """Opens the form of contacts; returns the field of addresses."""
    page.locator(".upload summary").click()
    return page.locator(".contacts textarea")


def uploaded(page: Page, addresses: str) -> Locator:
    """Uploads contacts; returns the field of addresses."""
    text = opened(page)
    text.fill(addresses)
    page.get_by_role("button", name="Are contacts").click()
    expect(page.get_by_role("status")).to_contain_text("The contacts are uploaded.")
    return text


def has_focus_and(text: Locator, value: str) -> None:
    """Asserts that a field stands as it was being written."""
    expect(text).to_have_value(value)
    expect(text).to_be_focused()


def lists_say(page: Page, **members: Any) -> None:
    """Has lists say this from here on; None: a member that they lack."""

    def fulfil(route: Route) -> None:
        answer = route.fetch()
        document = {**answer.json(), **members}
        route.fulfill(response=answer, json={name: value for name, value in document.items() if value is not None})

    page.route(LISTS, fulfil)


def held_back(page: Page, path: str) -> list[Route]:
    """Holds writes back from here on, in the list that is returned."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "PUT":
            held.append(route)
        else:
            route.continue_()

    page.route(path, hold)
    return held


def test_somebody_new_answers_uploads_contacts_and_makes_a_friend(
    tab: Tab, page: Page, user_id: str, service: ConsoleService
) -> None:
    expect(page.locator(".pill")).to_have_text("Cold start")
    expect(page.locator(".ask")).to_contain_text("What helps most to know")
    column = answered(page, "Acme")
    expect(page.locator(f".ask[data-column={column}]")).to_have_count(0)
    _, profile = service.get(f"/pymk/users/{user_id}")
    assert profile[column] == "Acme"
    text = uploaded(page, "bob@example.org\n\nCyd@Example.org")
    expect(text).to_be_hidden()
    expect(text).to_have_value("")
    drawn_again(page)
    page.clock.resume()
    first = tab.listed[0]
    tab.card(first).get_by_role("button", name="Connect").click()
    expect(page.get_by_role("status")).to_contain_text("Connected with")
    assert first not in tab.listed


def test_what_is_written_stands_when_the_list_is_drawn_again(page: Page) -> None:
    uploaded(page, "bob@example.org")
    question, text = page.locator(".ask input"), opened(page)
    question.fill("Acme")
    text.fill("cyd@example.org")
    drawn_again(page)
    expect(question).to_have_value("Acme")
    has_focus_and(text, "cyd@example.org")


@pytest.mark.parametrize("address", ["", "cyd@example.org"])
def test_the_form_stands_when_the_worker_has_found_candidates(page: Page, address: str) -> None:
    uploaded(page, "bob@example.org")
    text = opened(page)
    text.fill(address)
    lists_say(page, served="ranked", ask=None)  # as for somebody whom no question would help
    drawn_again(page)
    expect(page.locator(".pill")).to_have_text("Ranked")
    expect(page.locator(".ask")).to_have_count(0)
    has_focus_and(text, address)


def test_a_problem_stands_when_the_list_is_drawn_again(page: Page) -> None:
    uploaded(page, "bob@example.org")
    opened(page).fill("no address")
    page.get_by_role("button", name="Are her own").click()
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("no address is not an e-mail address.")
    drawn_again(page)
    expect(problem).to_be_visible()
    page.locator(".contacts textarea").fill("ada@example.org")
    page.get_by_role("button", name="Are her own").click()
    expect(page.get_by_role("status")).to_contain_text("The address is noted.")
    expect(problem).to_be_hidden()


def test_the_list_is_drawn_again_once_after_several_uploads(tab: Tab, page: Page) -> None:
    def lists() -> int:
        return sum("/pymk/recommendations?" in one for one in tab.requests)

    answered(page, "Acme")
    page.clock.run_for(WORKER_MS - 1)
    uploaded(page, "bob@example.org")
    before = lists()
    page.clock.run_for(WORKER_MS - 1)
    assert lists() == before
    page.clock.run_for(10 * WORKER_MS)
    page.wait_for_function(SHOWN)
    assert lists() == before + 1


def test_the_focus_goes_to_the_next_question_and_then_to_the_contacts(page: Page) -> None:
    lists_say(page, ask="city")
    assert answered(page, "Acme") == "company"
    assert asked(page) == "city"
    expect(page.locator(".ask input")).to_be_focused()
    lists_say(page, served="ranked", ask=None)
    answered(page, "Elm")
    summary = page.locator(".upload summary")
    expect(page.locator(".ask")).to_have_count(0)
    expect(summary).to_be_focused()
    uploaded(page, "bob@example.org")
    expect(summary).to_be_focused()
    drawn_again(page)
    expect(summary).to_be_focused()


def test_the_focus_stays_with_a_person_when_the_list_is_drawn_again(tab: Tab, page: Page) -> None:
    uploaded(page, "bob@example.org")
    at = tab.listed[2]
    tab.card(at).focus()
    drawn_again(page)
    expect(page.locator(".card:focus")).to_have_attribute("data-user", at)


def test_an_upload_is_sent_once_and_what_is_written_meanwhile_stands(page: Page) -> None:
    held = held_back(page, CONTACTS)
    text = opened(page)
    text.fill("bob@example.org")
    with page.expect_request(CONTACTS):
        page.get_by_role("button", name="Are contacts").dblclick()
    page.get_by_role("button", name="Are her own").click()
    text.fill("cyd@example.org")
    (upload,) = held
    upload.continue_()
    expect(page.get_by_role("status")).to_contain_text("The contacts are uploaded.")
    has_focus_and(text, "cyd@example.org")
    assert held == [upload]


def test_an_answer_is_sent_once_and_what_is_written_meanwhile_stands(page: Page, user_id: str) -> None:
    held = held_back(page, f"**/pymk/users/{user_id}")
    answer, column = page.locator(".ask input"), asked(page)
    answer.fill("Acme")
    with page.expect_request(lambda request: request.method == "PUT"):
        page.get_by_role("button", name="Answer").dblclick()
    answer.fill("Acme Ltd")
    (put,) = held
    put.continue_()
    expect(page.get_by_role("status")).to_contain_text(f"{column} is noted.")
    has_focus_and(answer, "Acme Ltd")
    assert asked(page) == column
    assert held == [put]


def test_contacts_are_taken_back(page: Page, user_id: str, service: ConsoleService) -> None:
    def kept() -> Any:
        return service.put(f"/pymk/users/{user_id}/contacts", {"own": []})[1]["contacts"]

    uploaded(page, "bob@example.org\ncyd@example.org")
    assert kept() == 2
    text = opened(page)
    text.fill("dee@example.org")
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_role("status")).to_contain_text("The contacts are taken back.")
    assert kept() == 0
    expect(text).to_have_value("dee@example.org")


def test_who_has_contacts_in_her_list_may_take_them_back(tab: Tab) -> None:
    reasons = [{"code": "contact", "text": "In your contacts"}]
    bob = {"user_id": "bob", "score": 0.5, "position": 1, "sources": ["contacts"], "reasons": reasons}
    lists_say(tab.page, served="ranked", ask=None, recommendations=[bob])
    tab.look_up("ada")
    opened(tab.page)
    expect(tab.page.get_by_role("button", name="Take back")).to_be_visible()


def test_who_has_friends_is_asked_nothing(tab: Tab) -> None:
    tab.look_up("ada")
    expect(tab.page.locator(".joining")).to_have_count(0)
