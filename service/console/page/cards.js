// The list as cards: who, why in a line, how sure, and what can be done.

import { drawn, h } from "./dom.js";
import { avatar, facts, nameOf } from "./people.js";
import { ACTIONS, percent, sourceWords } from "./words.js";

/** A card of one recommendation. `act(action, userId)` and `open(userId)` are what its buttons do. */
export function card(recommendation, { people, best, act, open, lookUp }) {
  const { user_id: userId, position, score, sources, reasons } = recommendation;
  const title = h("h3", { id: `person-${position}` }, h("a", { href: hashOf(userId), class: "name" }, userId));
  const line = h("p", { class: "facts" }, h("code", {}, userId)); // from the first, so that no button moves under a click
  const picture = h("span", { class: "picture" }, avatar(userId, userId));
  const node = h(
    "li",
    { class: "card", tabindex: "-1", "data-user": userId, "aria-labelledby": `person-${position}` },
    h("span", { class: "position", "aria-label": `Position ${position}` }, position),
    picture,
    h("div", { class: "who" }, title, line),
    h(
      "div",
      { class: "score", title: `Score ${score}` },
      h("strong", {}, percent(score)),
      drawn(h("span", { class: "meter", "aria-hidden": "true" }), { share: best > 0 ? score / best : 0 }),
      h("span", { class: "unseen" }, "probability"),
    ),
    h("ul", { class: "reasons", "aria-label": "Reasons" }, reasons.map((reason) => reasonOf(reason, people))),
    h("ul", { class: "sources", "aria-label": "Sources" }, sources.map((source) => sourceOf(source))),
    h(
      "div",
      { class: "actions" },
      Object.entries(ACTIONS).map(([action, { label, key }]) =>
        h(
          "button",
          { type: "button", class: action, "data-action": action, "aria-keyshortcuts": key, onclick: () => act(action, userId) },
          label,
        ),
      ),
      h(
        "button",
        { type: "button", class: "why-button", "data-action": "why", "aria-keyshortcuts": "w", onclick: () => open(userId) },
        "Why?",
      ),
    ),
  );
  title.firstChild.addEventListener("click", (event) => {
    event.preventDefault();
    lookUp(userId);
  });
  people.profile(userId).then((profile) => {
    const name = nameOf(userId, profile);
    title.firstChild.textContent = name;
    title.firstChild.title = `Look ${name} up`;
    picture.replaceChildren(avatar(userId, name));
    const told = facts(profile);
    line.replaceChildren(h("code", {}, userId), told.length ? ` · ${told.join(" · ")}` : "");
    for (const button of node.querySelectorAll("[data-action]")) {
      button.setAttribute("aria-label", `${button.textContent.replace("?", "")}: ${name}`);
    }
  });
  return node;
}

export const hashOf = (userId) => `#${new URLSearchParams({ user: userId })}`;

export function sourceOf(source) {
  return h("li", { class: `source ${source}` }, sourceWords(source));
}

/** A reason as text; of mutual connections the names that may be told follow. */
export function reasonOf(reason, people) {
  const node = h("li", { class: `reason ${reason.code}` }, reason.text);
  if (reason.code === "mutual_connections" && reason.examples.length) {
    Promise.all(reason.examples.map((userId) => people.name(userId))).then((names) => {
      const more = reason.count - names.length;
      node.append(h("span", { class: "examples" }, ` ${names.join(", ")}${more > 0 ? ` and ${more} more` : ""}`));
    });
  }
  return node;
}
