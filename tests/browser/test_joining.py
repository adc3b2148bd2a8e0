"""The path of somebody new on the page: the question, contacts, first friends."""

from playwright.sync_api import expect

from tests.support.console import ConsoleService, Tab


def test_somebody_new_answers_uploads_contacts_and_makes_a_friend(tab: Tab, service: ConsoleService) -> None:
    page = tab.page
    tab.look_up("brand new")
    expect(page.locator(".pill")).to_have_text("Cold start")
    # the question
    asked = page.locator(".ask")
    expect(asked).to_contain_text("What helps most to know")
    told = (asked.locator("span").text_content() or "").rpartition(": ")[2]
    asked.get_by_role("textbox").fill("Acme")
    asked.get_by_role("button", name="Answer").click()
    expect(page.get_by_role("status")).to_contain_text(f"{told} is noted.")
    expect(page.locator(".ask span", has_text=f": {told}")).to_have_count(0)
    _, profile = service.get("/pymk/users/brand%20new")
    assert profile[told] == "Acme"
    # contacts
    page.get_by_text("Contacts", exact=True).click()
    page.locator(".contacts textarea").fill("bob@example.org\n\nCyd@Example.org")
    page.get_by_role("button", name="Are contacts").click()
    expect(page.get_by_role("status")).to_contain_text("The contacts are uploaded.")
    page.get_by_text("Contacts", exact=True).click()
    page.locator(".contacts textarea").fill("no address")
    page.get_by_role("button", name="Are her own").click()
    expect(page.get_by_role("alert")).to_contain_text("no address is not an e-mail address.")
    # the first friend
    first = tab.listed[0]
    tab.card(first).get_by_role("button", name="Connect").click()
    expect(page.get_by_role("status")).to_contain_text("Connected with")
    assert first not in tab.listed


def test_who_has_friends_is_asked_nothing(tab: Tab) -> None:
    tab.look_up("ada")
    expect(tab.page.locator(".joining")).to_have_count(0)
