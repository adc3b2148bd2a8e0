"""What a card does to the network: connect, dismiss, block, and the undoing of it."""

import pytest
from playwright.sync_api import expect

from tests.support.console import EVERYBODY, ConsoleService, Tab

pytestmark = pytest.mark.usefixtures("taking_events")


def test_whom_one_dismisses_is_gone_and_comes_back(tab: Tab, service: ConsoleService) -> None:
    tab.look_up("ada")
    before = tab.listed
    tab.card(before[1]).get_by_role("button", name="Dismiss").click()
    expect(tab.page.locator("#toast")).to_contain_text("Dismissed")
    expect(tab.page.locator(f'.card[data-user="{before[1]}"]')).to_have_count(0)
    assert before[1] not in service.shown_to("ada")
    assert tab.listed == [one for one in before if one != before[1]]
    expect(tab.page.locator(".card:focus")).to_have_attribute("data-user", before[2])
    expect(tab.page.get_by_role("status")).to_contain_text("Press u to undo.")
    tab.page.get_by_role("button", name="Undo").click()
    expect(tab.page.locator(f'.card[data-user="{before[1]}"]')).to_be_focused()
    assert tab.listed == before == service.shown_to("ada")
    expect(tab.page.locator("#toast")).to_be_hidden()


def test_dismissed_and_undone_by_keyboard(tab: Tab, service: ConsoleService) -> None:
    tab.look_up("dee")
    before = tab.listed
    page = tab.page
    page.keyboard.press("j")
    page.keyboard.press("d")
    expect(page.locator(f'.card[data-user="{before[0]}"]')).to_have_count(0)
    expect(page.locator(".card:focus")).to_have_attribute("data-user", before[1])
    page.keyboard.press("u")
    expect(page.locator(f'.card[data-user="{before[0]}"]')).to_be_focused()
    assert service.shown_to("dee") == before


@pytest.mark.parametrize(("viewer", "action"), [("eve", "Block"), ("fay", "Connect")])
def test_a_block_and_a_connection_hold_on_both_sides(
    tab: Tab, service: ConsoleService, viewer: str, action: str
) -> None:
    tab.look_up(viewer)
    other = tab.listed[0]
    tab.card(other).get_by_role("button", name=action).click()
    expect(tab.page.locator("#toast")).to_be_visible()
    expect(tab.page.locator(f'.card[data-user="{other}"]')).to_have_count(0)
    assert other not in service.shown_to(viewer)
    assert viewer not in service.shown_to(other)
    expect(tab.page.get_by_role("button", name="Undo")).to_be_visible(visible=action == "Block")
    tab.page.get_by_label("Why is somebody shown, or not?").fill(other)
    tab.page.get_by_role("button", name="Ask").click()
    expect(tab.page.locator("#why .verdict")).to_have_text("Not shown.")


def test_an_id_of_any_kind_is_acted_on(tab: Tab, service: ConsoleService) -> None:
    strange = EVERYBODY[3]
    viewer = next(one for one in EVERYBODY if strange in service.shown_to(one))
    tab.look_up(viewer)
    tab.card(strange).get_by_role("button", name="Dismiss").click()
    expect(tab.page.locator("#toast")).to_be_visible()
    assert strange not in service.shown_to(viewer)
