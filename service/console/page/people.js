// Who somebody is: stored profiles, fetched once and a few at a time, and how a person is drawn.

import { drawn, h } from "./dom.js";

const AT_ONCE = 6;
const FACTS = 3;
const FIRST = [/compan|employer/, /school|universit|college/, /cit(y|ies)|town/];
const UNTOLD = new Set(["name", "created_at", "discoverable", "active", "connections_visible"]);

export class People {
  /** `onBusy(isBusy)` is told whether profiles are being fetched. */
  constructor(api, onBusy) {
    this.api = api;
    this.onBusy = onBusy;
    this.found = new Map();
    this.waiting = [];
    this.busy = 0;
  }

  /** The stored profile; {} where there is none or it cannot be had. */
  profile(userId) {
    if (!this.found.has(userId)) {
      this.found.set(userId, new Promise((resolve) => this.waiting.push({ userId, resolve })));
      this.next();
    }
    return this.found.get(userId);
  }

  async name(userId) {
    return nameOf(userId, await this.profile(userId));
  }

  forget() {
    this.found.clear();
  }

  next() {
    this.onBusy(this.busy + this.waiting.length > 0);
    while (this.busy < AT_ONCE && this.waiting.length) {
      const { userId, resolve } = this.waiting.shift();
      this.busy += 1;
      this.api
        .profile(userId)
        .catch(() => ({}))
        .then((profile) => {
          this.busy -= 1;
          resolve(profile);
          this.next();
        });
    }
  }
}

export const nameOf = (userId, profile) => (profile.name ? String(profile.name) : userId);

/** A line of what a profile tells first: short values, where somebody works, learnt and lives before the rest. */
export function facts(profile, most = FACTS) {
  const told = [];
  const place = ([column]) => (FIRST.findIndex((one) => one.test(column)) + FIRST.length + 1) % (FIRST.length + 1);
  for (const [column, value] of Object.entries(profile).sort((one, other) => place(one) - place(other))) {
    if (UNTOLD.has(column) || value === null || typeof value === "boolean" || typeof value === "number") continue;
    const text = Array.isArray(value) ? value.slice(0, 3).join(", ") : String(value);
    if (text && text.length <= 40 && !/^-?[\d.]+,-?[\d.]+$/.test(text)) told.push(text);
  }
  return told.slice(0, most);
}

/** [column, text] of everything stored but the name. */
export function columns(profile) {
  return Object.entries(profile)
    .filter(([column, value]) => column !== "name" && value !== null)
    .map(([column, value]) => [column.replaceAll("_", " "), Array.isArray(value) ? value.join(", ") : String(value)]);
}

export function initials(name) {
  const words = name.split(/[\s._@-]+/u).filter((word) => /\p{L}|\p{N}|\p{Emoji}/u.test(word));
  const letters = words.slice(0, 2).map((word) => [...word][0].toUpperCase());
  return letters.join("") || "·";
}

/** A hue of one's own, 0-359. */
export function hue(userId) {
  let hash = 7;
  for (const letter of userId) hash = (hash * 31 + letter.codePointAt(0)) % 36000;
  return hash % 360;
}

export function avatar(userId, name, size = "") {
  return drawn(h("span", { class: `avatar ${size}`, "aria-hidden": "true" }, initials(name)), { hue: hue(userId) });
}
