"""The console as an operator uses it: with a mouse, with a keyboard, with a key, and with hostile data."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from models.schema.candidate_sources import Source
from tests.support.console import ConsoleService, Tab, encoded

STRANGE = "a/b 🦊 ?#%"
LONG = "x" * 128


def test_a_list_is_looked_up(tab: Tab, service: ConsoleService) -> None:
    page = tab.page
    page.get_by_label("Rank afresh").check()
    tab.look_up("ada")
    assert tab.listed == service.shown_to("ada")
    expect(page.locator(".pill")).to_have_text("Ranked")
    expect(page.get_by_role("heading", name="Ada Lark")).to_be_visible()
    first = page.locator(".card").first
    expect(first.locator(".reason").first).to_contain_text("mutual connection")
    expect(first.locator(".source")).not_to_have_count(0)
    expect(first.locator(".score strong")).to_have_text(re.compile(r"^\d+(\.\d+)?%$"))
    expect(page.locator(".stages")).to_contain_text("scoring")
    expect(page.locator(".timing-total")).to_have_text(
        re.compile(r"^[\d.]+ ms in the service, [\d.]+ ms to this page$")
    )
    expect(page.get_by_role("status")).to_contain_text(f"{len(tab.listed)} people in the list of Ada Lark")
    page.get_by_label("Rank afresh").uncheck()
    tab.look_up("ada")
    tab.look_up("ada")
    expect(page.locator(".pill")).to_have_text("Kept")


def test_context_and_limit_are_chosen(tab: Tab) -> None:
    tab.look_up("ada")
    assert len(tab.listed) > 5
    tab.page.get_by_label("Limit").select_option("5")
    expect(tab.page.locator(".card")).to_have_count(5)
    with tab.page.expect_response(lambda answer: "context=email" in answer.url) as answer:
        tab.page.get_by_label("Context").select_option("email")
    assert answer.value.ok
    assert "user=ada" in tab.page.url


@pytest.mark.parametrize("user_id", [STRANGE, LONG])
def test_any_id_is_looked_up_and_linked_to(tab: Tab, service: ConsoleService, user_id: str) -> None:
    tab.look_up(user_id)
    assert tab.listed == service.shown_to(user_id) != []
    linked = tab.page.context.new_page()
    linked.goto(service.url + encoded(user_id))
    expect(linked.locator("#viewer code")).to_have_text(user_id)
    tab.page.locator(".card").first.get_by_role("button", name="Why").click()
    expect(tab.page.locator(".verdict")).to_contain_text("Position 1")
    tab.look_up("bob")
    tab.page.get_by_label("Why is somebody shown, or not?").fill(user_id)
    tab.page.get_by_role("button", name="Ask").click()
    expect(tab.page.locator("#why .pair code")).to_have_text(user_id)
    expect(tab.page.locator("#why .verdict")).to_be_visible()


def test_somebody_new_is_shown_the_popular(tab: Tab) -> None:
    tab.page.get_by_role("button", name="See what somebody new is shown").click()
    expect(tab.page.locator(".pill")).to_have_text("Cold start")
    assert len(tab.listed) > 5


def test_the_why_of_a_card(tab: Tab, service: ConsoleService) -> None:
    tab.look_up("ada")
    second = tab.listed[1]
    tab.card(second).get_by_role("button", name="Why").click()
    why = tab.page.locator("#why")
    expect(why.locator(".verdict")).to_have_text("Position 2 in the list of Ada Lark.")
    expect(tab.page.locator(".card.explained")).to_have_attribute("data-user", second)
    _, told = service.get(f"/pymk/users/ada/why/{second}")
    moved = sum(one["contribution"] != 0 for one in told["features"])
    expect(why.locator(".bars li")).to_have_count(min(moved, 9))
    expect(why.locator(".graph .person:not(.end)")).to_have_count(min(told["mutuals"]["count"], 9))
    expect(why.locator(".verdicts li")).to_have_count(len(Source))
    why.get_by_text("Every number").click()
    expect(why.get_by_role("rowheader", name="residual")).to_be_visible()
    why.get_by_role("button", name="Close").click()
    expect(why).to_be_hidden()
    expect(tab.page.locator(".card:focus-within")).to_have_attribute("data-user", second)


def test_the_why_of_somebody_who_is_not_in_the_list(tab: Tab, service: ConsoleService) -> None:
    tab.look_up("ada")
    friend = next(one for one in ("bob", "cyd", "dee", "eve", "fay") if one not in service.shown_to("ada"))
    tab.page.get_by_label("Why is somebody shown, or not?").fill(friend)
    tab.page.get_by_role("button", name="Ask").click()
    expect(tab.page.locator("#why .rules")).to_contain_text("already connected")
    tab.page.get_by_label("Why is somebody shown, or not?").fill("nobody")
    tab.page.get_by_role("button", name="Ask").click()
    expect(tab.page.locator("#why .problem")).to_have_text("No user of this id is known (other_id).")


def test_the_mutual_connections_lead_on(tab: Tab) -> None:
    tab.look_up("ada")
    tab.page.locator(".card").first.get_by_role("button", name="Why").click()
    node = tab.page.locator(".graph .person:not(.end)").first
    name = (node.get_attribute("aria-label") or "").removeprefix("Look ").removesuffix(" up")
    node.click()
    expect(tab.page.locator("#viewer h2")).to_have_text(name)
    tab.page.go_back()
    expect(tab.page.locator("#viewer h2")).to_have_text("Ada Lark")


def test_markup_in_a_name_is_text(tab: Tab, service: ConsoleService) -> None:
    viewer = next(one for one in ("ada", "bob", "dee", "eve", "fay") if "cyd" in service.shown_to(one))
    tab.look_up(viewer)
    expect(tab.card("cyd").locator(".name")).to_contain_text("<img src=x onerror=")
    tab.card("cyd").get_by_role("button", name="Why").click()
    expect(tab.page.locator("#why-title")).to_contain_text("<script>")
    tab.look_up("cyd")
    expect(tab.page.locator("#viewer h2")).to_contain_text("<script>")
    assert tab.page.title() == "People You May Know"
    assert tab.page.locator("main img, main script").count() == 0


def test_an_error_is_a_sentence(tab: Tab) -> None:
    tab.look_up("ada")
    tab.page.get_by_label("User id", exact=True).fill("x" * 129)
    tab.page.get_by_role("button", name="Look up", exact=True).click()
    expect(tab.page.get_by_role("alert").first).to_contain_text("The user id has 129 bytes;")
    expect(tab.page.get_by_role("alert").first).to_contain_text("Request ")
    tab.look_up("bob")
    expect(tab.page.get_by_role("alert").first).to_be_hidden()


def test_the_page_allows_no_script_but_its_own(tab: Tab) -> None:
    blocked = tab.page.evaluate(
        """() => new Promise((resolve) => {
            document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
            const node = document.createElement("div");
            try { node.innerHTML = "<img src=x onerror=alert(1)>"; } catch (error) { resolve(error.name); }
        })"""
    )
    assert blocked in {"TypeError", "require-trusted-types-for"}
    tab.faults.clear()


def test_a_list_by_keyboard_alone(tab: Tab) -> None:
    page = tab.page
    expect(page.get_by_label("User id", exact=True)).to_be_focused()
    page.keyboard.type("ada")
    page.keyboard.press("Enter")
    expect(page.locator(".card").first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    expect(page.locator(".card:focus")).to_have_attribute("data-user", tab.listed[1])
    outline = page.locator(".card:focus").evaluate("node => getComputedStyle(node).outlineStyle")
    assert outline == "solid", "the focus is seen"
    page.keyboard.press("w")
    expect(page.locator("#why-title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#why")).to_be_hidden()
    expect(page.locator(".card:focus")).to_have_attribute("data-user", tab.listed[1])
    names = []
    for _ in range(5):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent"))
    assert names[1:] == ["Connect", "Dismiss", "Block", "Why?"], "the order of the card"
    page.keyboard.press("/")
    expect(page.get_by_label("User id", exact=True)).to_be_focused()
    page.keyboard.type("j")
    expect(page.get_by_label("User id", exact=True)).to_have_value("j")


def test_shortcuts_are_shown_and_named(tab: Tab) -> None:
    tab.look_up("ada")
    legend = tab.page.get_by_role("region", name="Keyboard shortcuts")
    for key in ("/", "j", "k", "w", "c", "d", "b", "u", "Esc"):
        expect(legend.locator("kbd", has_text=re.compile(f"^{re.escape(key)}$"))).to_be_visible()
    assert tab.page.locator(".card .dismiss").first.get_attribute("aria-keyshortcuts") == "d"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(browser: Browser, service: ConsoleService, scheme: Any) -> None:
    with browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True) as context:
        page = context.new_page()
        page.goto(f"{service.url}#user={LONG}")
        expect(page.locator(".card").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        button = page.locator(".card").first.get_by_role("button", name="Why")
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 40
        button.click()
        expect(page.locator("#why")).to_be_visible()
        assert page.evaluate("document.querySelector('#why').matches(':modal')")
        assert page.evaluate("document.querySelector('#why').scrollWidth <= 390")
        page.keyboard.press("Escape")
        expect(page.locator("#why")).to_be_hidden()


def test_a_key_is_asked_for_where_keys_are(serve: Callable[..., Any], open_tab: Callable[[str], Any]) -> None:
    with serve(PYMK_KEYS="reader:read,operator:read+write+admin") as service:
        tab = open_tab(service.url)
        page = tab.page
        field = page.get_by_label("Key", exact=True)
        expect(field).to_be_focused()
        field.fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key-problem")).to_have_text("The key is not known.")
        field.fill("reader")
        page.keyboard.press("Enter")
        expect(page.locator("#key-dialog")).to_be_hidden()
        expect(page.locator("#version")).to_contain_text("24 people")
        tab.look_up("ada")
        page.locator(".card").first.get_by_role("button", name="Why").click()
        expect(page.locator("#why .problem")).to_have_text("The key lacks the scope admin; it has read.")
        kept = "Object.entries({...sessionStorage}).concat(Object.entries({...localStorage}))"
        assert page.evaluate(kept) == [["pymk-key", "reader"]]
        assert page.evaluate("document.cookie") == ""
        assert "reader" not in page.url
        page.reload()
        expect(page.locator(".card").first).to_be_visible()
        page.get_by_role("button", name="Forget the key").click()
        expect(field).to_be_focused()
        assert page.evaluate(kept) == []
        page.get_by_role("button", name="Not now").click()
        expect(page.get_by_role("alert").first).to_contain_text("A key is needed")
        assert not any("ada" in one for one in (page.url, page.content()))


def test_the_nights_are_timelines(tab: Tab, service: ConsoleService) -> None:
    _, told = service.get("/admin/nights")
    (night,) = told["nights"]
    tab.page.get_by_role("button", name="Nights").click()
    dialog = tab.page.get_by_role("dialog", name="Nights")
    expect(dialog.locator(".night")).to_have_count(1)
    expect(dialog.locator(".night code")).to_have_text(night["run"])
    expect(dialog.locator(".night .state")).to_have_text("published")
    steps = [step["name"] for step in night["steps"]]
    assert steps == ["snapshot", "training", "evaluation", "version", "publish"]
    expect(dialog.locator(".step .name")).to_have_text(steps)
    expect(dialog.locator(".step .figures").first).to_contain_text("24 rows")
    left = [bar.bounding_box() for bar in dialog.locator(".lasted").all()]
    places = [(box["x"], box["width"]) for box in left if box is not None]
    assert len(places) == len(steps)
    assert places == sorted(places, key=lambda place: place[0]), "one after the other"
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    assert not tab.faults
