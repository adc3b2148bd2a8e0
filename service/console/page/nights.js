// The runs of the nightly job as timelines: the one at work, and those before.

import { byId, drawn, h } from "./dom.js";
import { number } from "./words.js";

const AGAIN_MS = 2000;
const SHOWN = 12;
const STATES = {
  running: "at work",
  published: "published",
  waiting: "waits for an approval",
  canary: "served to a share of the viewers",
  refused: "refused by the gate",
  failed: "failed",
  stopped: "stopped",
};

export class Nights {
  constructor(api) {
    this.api = api;
    this.node = byId("nights");
    this.timer = null;
    this.node.addEventListener("close", () => clearTimeout(this.timer));
  }

  /** Opens the dialog, and keeps it up to date for as long as a run is at work. */
  async open() {
    this.show([h("p", {}, "…")]);
    if (!this.node.open) this.node.showModal();
    await this.refresh();
  }

  async refresh() {
    clearTimeout(this.timer);
    try {
      const { nights } = (await this.api.nights()).body;
      this.show(nights.length ? nights.slice(0, SHOWN).map(run) : [h("p", {}, "No night has run yet: pymk nightly DATA runs one.")]);
    } catch (error) {
      this.show([h("p", { class: "problem" }, error.message)]);
    }
    if (this.node.open) this.timer = setTimeout(() => this.refresh(), AGAIN_MS);
  }

  show(content) {
    const close = h("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => this.node.close() }, "×");
    const title = h("h2", { id: "nights-title" }, "Nights");
    const top = this.node.scrollTop;
    const focused = this.node.contains(document.activeElement);
    this.node.replaceChildren(close, title, ...content);
    this.node.scrollTop = top;
    if (focused) close.focus({ preventScroll: true });
  }
}

/** One run: what it made, how it ended, and its steps on one scale of time. */
function run(one) {
  const from = Date.parse(one.started_at);
  const until = Math.max(Date.parse(one.ended_at ?? one.seen_at), ...one.steps.map((step) => Date.parse(step.ended_at ?? step.started_at)));
  const span = Math.max(until - from, 1);
  const told = [clock(one.started_at), took(span / 1000), one.host, one.resumed ? `resumed ${times(one.resumed)}` : null];
  return h(
    "section",
    { class: "night", "data-run": one.run },
    h("h3", {}, h("code", {}, one.run), " ", h("span", { class: `state ${one.state}` }, STATES[one.state] ?? one.state)),
    h("p", { class: "small" }, told.filter(Boolean).join(" · ")),
    one.trained ? h("p", { class: "small" }, `Trained: ${one.trained}`) : null,
    one.error ? h("p", { class: "problem" }, one.error) : null,
    h("ol", { class: "steps" }, one.steps.map((step) => bar(step, from, span, until))),
  );
}

/** One step: its bar where it lies in the run, and what it took. */
function bar(step, from, span, until) {
  const began = Date.parse(step.started_at);
  const ended = step.ended_at ? Date.parse(step.ended_at) : until;
  const percent = (ms) => `${Math.min(Math.max((100 * ms) / span, 0), 100).toFixed(2)}%`;
  const figures = [
    step.seconds === null ? "at work" : took(step.seconds),
    step.peak_mb === null ? null : `${number(Math.round(step.peak_mb))} MB`,
    step.rows === null ? null : `${number(step.rows)} rows`,
    step.bound_by === null ? null : step.bound_by === "waiting" ? "waited" : `by ${step.bound_by}`,
    step.tries > 1 ? `tried ${times(step.tries)}` : null,
  ];
  return h(
    "li",
    { class: `step ${step.state}` },
    h("span", { class: "name" }, step.name),
    h("span", { class: "track" }, drawn(h("span", { class: "lasted" }), { left: percent(began - from), width: percent(ended - began) })),
    h("span", { class: "figures" }, figures.filter(Boolean).join(" · ")),
    step.error ? h("span", { class: "fault" }, step.error) : null,
  );
}

const clock = (moment) => new Date(moment).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
const times = (count) => (count === 1 ? "once" : count === 2 ? "twice" : `${count} times`);

function took(seconds) {
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
