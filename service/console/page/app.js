// The page: what is looked up, what a card does, and what is said of it.

import { Api } from "./api.js";
import { card } from "./cards.js";
import { byId, h } from "./dom.js";
import { joining } from "./join.js";
import { askForKey } from "./key.js";
import { legend, listen } from "./keyboard.js";
import { Nights } from "./nights.js";
import { People } from "./people.js";
import { summary } from "./viewer.js";
import { Panel } from "./panel.js";
import { ACTIONS, number } from "./words.js";

const STRANGER = "somebody new";
const LEAVING_MS = 180;
const WORKER_MS = 1500;

const api = new Api(askForKey);
const people = new People(api, (isBusy) => byId("people").setAttribute("aria-busy", isBusy));
const panel = new Panel(api, people, lookUp);
const nights = new Nights(api);
let asked = null;
let answer = null;
let undone = null;
let redraw = null;
let controller = new AbortController();

/** Asks for the list of somebody, as the form says. */
function lookUp(userId) {
  byId("user").value = userId;
  const query = new URLSearchParams({ user: userId, context: byId("context").value, limit: byId("limit").value });
  if (location.hash === `#${query}`) show();
  else location.hash = String(query);
}

/** Shows what the address names. */
function show() {
  const query = new URLSearchParams(location.hash.slice(1));
  if (!query.get("user")) return;
  for (const field of ["user", "context", "limit"]) {
    if (query.has(field)) byId(field).value = query.get(field);
  }
  if (asked !== byId("user").value) panel.close();
  asked = byId("user").value;
  forgetUndo();
  refresh({ focus: "list" });
}

/**
 * Fetches the list again and draws it; `focus` is "list", {at} or {userId}, or nothing to leave it. If it is
 * `unasked`, a problem that is shown stays.
 */
async function refresh({ focus = null, said = null, unasked = false } = {}) {
  if (!unasked) byId("problem").hidden = true;
  controller.abort();
  controller = new AbortController();
  document.body.classList.add("waiting");
  try {
    const { context, limit, fresh } = byId("look-up").elements;
    const { signal } = controller;
    const found = await api.recommendations(asked, context.value || "web", limit.value || "20", fresh.checked, signal);
    answer = found.body;
    const held = focusedCard()?.dataset.user;
    draw(found);
    if (focus) place(focus);
    else if (held) (cardOf(held) ?? byId("people")).focus({ preventScroll: true });
    const count = answer.recommendations.length;
    say(`${said ? `${said} ` : ""}${count === 1 ? "1 person" : `${count} people`} in the list of ${await people.name(asked)}.`);
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  } finally {
    document.body.classList.remove("waiting");
    byId("key").hidden = !api.key;
  }
}

function draw({ body, timing, ms }) {
  byId("start").hidden = true;
  byId("columns").hidden = false;
  byId("viewer").hidden = false;
  drawViewer(summary(body, timing, ms, people), body);
  const best = Math.max(...body.recommendations.map((one) => one.score), 0);
  const before = new Set([...byId("people").children].map((one) => one.dataset.user));
  const cards = body.recommendations.map((one) => card(one, { people, best, act, open, lookUp }));
  if (before.size) for (const one of cards) one.classList.toggle("entering", !before.has(one.dataset.user));
  byId("people").replaceChildren(...cards);
  panel.mark();
}

/** Draws who looks, around the form of somebody new: moved, it would lose the focus. */
function drawViewer(told, body) {
  const viewer = byId("viewer");
  const before = viewer.querySelector(".joining");
  const form = joining(body, api, joined, fail, before);
  for (const node of [...viewer.childNodes]) if (node !== form) node.remove();
  viewer.prepend(...told);
  if (form && form !== before) viewer.append(form);
}

/** Draws the list again after somebody told more of herself, once more when the worker has seen it. */
function joined(said) {
  const viewer = asked;
  people.forget();
  clearTimeout(redraw);
  const drawn = refresh({ said });
  redraw = setTimeout(async () => {
    await drawn;
    if (viewer === asked) refresh({ unasked: true });
  }, WORKER_MS);
}

function place(focus) {
  const cards = [...byId("people").children];
  if (focus === "list") byId("people").focus({ preventScroll: true });
  else if (focus.userId) (cards.find((one) => one.dataset.user === focus.userId) ?? cards[0])?.focus();
  else (cards[Math.min(focus.at, cards.length - 1)] ?? byId("people")).focus();
}

function open(userId) {
  panel.open(asked, userId, byId("context").value);
}

/** Does to a card's person what its button says, and shows the list that comes of it. */
async function act(action, userId) {
  const listed = answer.recommendations.find((one) => one.user_id === userId);
  const node = cardOf(userId);
  if (!listed || node?.classList.contains("leaving")) return;
  const viewer = asked;
  const { done, undo } = ACTIONS[action];
  try {
    node?.classList.add("leaving");
    await api.event({
      kind: action,
      user_id: viewer,
      other_id: userId,
      request_id: answer.request_id,
      context: byId("context").value,
      position: listed.position,
    });
    const name = await people.name(userId);
    await new Promise((resolve) => setTimeout(resolve, LEAVING_MS));
    if (panel.other === userId) panel.close();
    toast(done(name), undo ? { kind: undo, viewer, userId, name } : null);
    await refresh({ focus: { at: listed.position - 1 }, said: `${done(name)}${undo ? " Press u to undo." : ""}` });
  } catch (error) {
    node?.classList.remove("leaving");
    fail(error);
  }
}

async function undo() {
  if (!undone) return false;
  const { kind, viewer, userId, name } = undone;
  forgetUndo();
  try {
    await api.event({ kind, user_id: viewer, other_id: userId });
    if (viewer === asked) await refresh({ focus: { userId }, said: `${name} may be shown again.` });
  } catch (error) {
    fail(error);
  }
  return true;
}

function cardOf(userId) {
  return [...byId("people").children].find((one) => one.dataset.user === userId);
}

function toast(text, undoing) {
  undone = undoing;
  byId("toast-text").textContent = text;
  byId("undo").hidden = !undoing;
  byId("toast").hidden = false;
}

function forgetUndo() {
  undone = null;
  byId("toast").hidden = true;
}

function say(text) {
  byId("status").textContent = text;
}

/** Says what went wrong, with the id by which the service's log names the request. */
function fail(error) {
  const problem = byId("problem");
  const id = error.requestId ? h("span", { class: "small" }, ` Request ${error.requestId}`) : null;
  problem.replaceChildren(error.message, id ?? "");
  problem.hidden = false;
}

function focusedCard() {
  return document.activeElement?.closest?.(".card");
}

function step(way) {
  const cards = [...byId("people").children];
  const at = cards.indexOf(focusedCard());
  const next = at < 0 ? cards[way > 0 ? 0 : cards.length - 1] : cards[at + way];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
  return Boolean(next);
}

function onCard(does) {
  const userId = focusedCard()?.dataset.user;
  if (userId) does(userId);
  return Boolean(userId);
}

async function begin() {
  try {
    const { version, users, connections } = await api.version();
    byId("version").replaceChildren(h("code", {}, version), ` · ${number(users)} people, ${number(connections)} connections`);
  } catch (error) {
    fail(error);
  }
  byId("key").hidden = !api.key;
}

byId("look-up").addEventListener("submit", (event) => {
  event.preventDefault();
  if (byId("user").value) lookUp(byId("user").value);
});
for (const field of ["context", "limit", "fresh"]) {
  byId(field).addEventListener("change", () => asked !== null && lookUp(asked));
}
byId("question").addEventListener("submit", (event) => {
  event.preventDefault();
  if (byId("other").value) open(byId("other").value);
});
byId("stranger").addEventListener("click", () => lookUp(STRANGER));
byId("undo").addEventListener("click", undo);
byId("nights-open").addEventListener("click", () => nights.open());
byId("key").addEventListener("click", () => {
  api.forget();
  people.forget();
  location.assign(location.pathname);
});
addEventListener("hashchange", show);
byId("legend").replaceChildren(...legend());
listen({
  "/": () => (byId("user").focus(), byId("user").select(), true),
  j: () => step(1),
  k: () => step(-1),
  w: () => onCard(open),
  c: () => onCard((userId) => act("connect", userId)),
  d: () => onCard((userId) => act("dismiss", userId)),
  b: () => onCard((userId) => act("block", userId)),
  u: () => (undo(), true),
  Escape: () => panel.close(),
});

await begin();
if (location.hash) show();
else byId("user").focus();
