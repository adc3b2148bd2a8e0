// The panel beside the list, and over it on a narrow screen, that holds the why of one pair.

import { byId, h } from "./dom.js";
import { explanation } from "./why.js";

const NARROW = matchMedia("(max-width: 64rem)");

export class Panel {
  constructor(api, people, lookUp) {
    this.api = api;
    this.people = people;
    this.lookUp = (userId) => {
      this.close();
      lookUp(userId);
    };
    this.node = byId("why");
    this.other = null;
    this.controller = new AbortController();
    this.node.addEventListener("close", () => this.closed());
  }

  /** Asks for the why of a pair and shows it. */
  async open(viewerId, otherId, context) {
    this.controller.abort();
    const controller = (this.controller = new AbortController());
    this.other = otherId;
    this.mark();
    try {
      const { body } = await this.api.why(viewerId, otherId, context || byId("context").value, controller.signal);
      const names = await Promise.all([viewerId, otherId].map((userId) => this.people.name(userId)));
      if (controller.signal.aborted) return;
      const [viewer, other] = [viewerId, otherId].map((userId, at) => ({ userId, name: names[at] }));
      this.show(explanation(body, viewer, other, { people: this.people, lookUp: this.lookUp }));
    } catch (error) {
      if (error.name === "AbortError" || controller.signal.aborted) return;
      this.show([h("h2", { id: "why-title", tabindex: "-1" }, "No explanation"), h("p", { class: "problem" }, error.message)]);
    }
  }

  show(content) {
    const close = h("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => this.close() }, "×");
    this.node.replaceChildren(close, ...content.filter(Boolean));
    if (!this.node.open) NARROW.matches ? this.node.showModal() : this.node.show();
    this.node.scrollTop = 0;
    byId("why-title").focus({ preventScroll: true });
  }

  /** Closes it, which gives the focus back to where it was; says whether it was open. */
  close() {
    this.controller.abort();
    const wasOpen = this.node.open;
    if (wasOpen) this.node.close();
    this.closed();
    return wasOpen;
  }

  closed() {
    const card = this.card();
    this.other = null;
    this.mark();
    if (document.activeElement === document.body) card?.focus();
  }

  /** Marks the card that the panel speaks of. */
  mark() {
    for (const one of byId("people").children) one.classList.toggle("explained", one.dataset.user === this.other);
  }

  card() {
    return [...byId("people").children].find((one) => one.dataset.user === this.other);
  }
}
