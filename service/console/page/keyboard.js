// Keys that do what buttons do, outside of fields, and the list of them.

import { h } from "./dom.js";

/** [keys, what they do] in the order of the legend. */
const KEYS = [
  [["/"], "find a user"],
  [["j", "k"], "next, previous card"],
  [["w"], "why this person"],
  [["c"], "connect"],
  [["d"], "dismiss"],
  [["b"], "block"],
  [["u"], "undo"],
  [["Esc"], "close"],
];

/** `commands` by key; a command that returns true has used the key. */
export function listen(commands) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const isField = event.target.closest("input, select, textarea, [contenteditable]");
    if (isField && event.key !== "Escape") return;
    if (document.querySelector("dialog:modal") && event.key !== "Escape") return;
    if (commands[event.key]?.(event)) event.preventDefault();
  });
}

export function legend() {
  return [
    h("h2", {}, "Keys"),
    h(
      "dl",
      {},
      KEYS.map(([keys, does]) => h("div", {}, h("dt", {}, keys.map((key) => h("kbd", {}, key))), h("dd", {}, does))),
    ),
    h("p", { class: "small" }, "c, d, b and w act on the card that has the focus."),
  ];
}
