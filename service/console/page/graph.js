// The mutual connections of two people as a small drawing: one on either side, those they share between them.

import { drawn, s } from "./dom.js";
import { hashOf } from "./cards.js";
import { hue, initials } from "./people.js";

const WIDTH = 350;
const SIDE = 44;
const STEP = 50;
const MOST = 9;
const OFFSET = 42;

/** A drawing of `mutuals` between a viewer and another, each {userId, name}. */
export function graph(viewer, other, mutuals, lookUp) {
  const shown = mutuals.people.slice(0, MOST).map((one, at, all) => ({
    userId: one.user_id,
    name: one.name ?? one.user_id,
    x: WIDTH / 2 + (all.length > 3 ? (at % 2 ? OFFSET : -OFFSET) : 0),
    y: 34 + at * (all.length > 3 ? STEP * 0.8 : STEP),
  }));
  const height = Math.max(150, (shown.at(-1)?.y ?? 0) + 34);
  const ends = [
    { ...viewer, x: SIDE, y: height / 2 - 8, end: true },
    { ...other, x: WIDTH - SIDE, y: height / 2 - 8, end: true },
  ];
  const names = mutuals.people.slice(0, MOST).map((one) => one.name ?? one.user_id);
  const label = `${viewer.name} and ${other.name} share ${mutuals.count} connections: ${names.join(", ")}`;
  return s(
    "svg",
    { class: "graph", viewBox: `0 0 ${WIDTH} ${height}`, role: "group", "aria-label": label },
    shown.flatMap((mutual) => ends.map((end) => s("path", { class: "edge", d: curve(end, mutual) }))),
    mutuals.ties
      .filter(([one, another]) => Math.max(one, another) < shown.length)
      .map(([one, another]) => s("path", { class: "tie", d: bow(shown[one], shown[another]) })),
    [...shown, ...ends].map((person) => node(person, lookUp)),
  );
}

function curve(end, mutual) {
  const middle = (end.x + mutual.x) / 2;
  return `M${end.x} ${end.y} C${middle} ${end.y} ${middle} ${mutual.y} ${mutual.x} ${mutual.y}`;
}

/** A tie between two in the middle, bent to the side so that it does not run through those between them. */
function bow(one, another) {
  const bend = one.x === another.x ? 26 * (one.x > WIDTH / 2 ? 1 : -1) : 0;
  return `M${one.x} ${one.y} Q${(one.x + another.x) / 2 + bend} ${(one.y + another.y) / 2} ${another.x} ${another.y}`;
}

function node(person, lookUp) {
  const radius = person.end ? 21 : 14;
  const link = s(
    "a",
    { href: hashOf(person.userId), class: person.end ? "person end" : "person", "aria-label": `Look ${person.name} up` },
    s("title", {}, person.name),
    s("circle", { cx: person.x, cy: person.y, r: radius }),
    s("text", { class: "letters", x: person.x, y: person.y }, initials(person.name)),
    s("text", { class: "label", x: person.x, y: person.y + radius + 11 }, short(person.name)),
  );
  link.addEventListener("click", (event) => {
    event.preventDefault();
    lookUp(person.userId);
  });
  return drawn(link, { hue: hue(person.userId) });
}

function short(name) {
  const letters = [...name];
  return letters.length > 16 ? `${letters.slice(0, 15).join("")}…` : name;
}
