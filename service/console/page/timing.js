// Where the time of an answer went, from its Server-Timing.

import { drawn, h } from "./dom.js";

const STAGES = {
  store: "store",
  rank: "scoring",
  rules: "rules",
  encode: "reasons",
};

const shown = (ms) => (ms >= 10 ? ms.toFixed(0) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(2));

/** A bar of stages with their milliseconds under it; what no stage accounts for is drawn as the rest. */
export function timingBar(stages, roundTripMs) {
  const total = stages.find((stage) => stage.name === "total")?.ms ?? 0;
  const named = stages.filter((stage) => stage.name !== "total");
  const rest = total - named.reduce((sum, stage) => sum + stage.ms, 0);
  const parts = rest > 0.005 ? [...named, { name: "rest", ms: rest }] : named;
  const label = parts.map((part) => `${STAGES[part.name] ?? part.name} ${shown(part.ms)} ms`).join(", ");
  return h(
    "div",
    { class: "timing" },
    h(
      "p",
      { class: "timing-total" },
      h("strong", {}, `${shown(total)} ms`),
      ` in the service, ${shown(roundTripMs)} ms to this page`,
    ),
    h(
      "div",
      { class: "bar", role: "img", "aria-label": `Stages: ${label}` },
      parts.map((part) => drawn(h("span", { class: `stage stage-${part.name}` }), { share: part.ms })),
    ),
    h(
      "ul",
      { class: "stages", "aria-hidden": "true" },
      parts.map((part) =>
        h("li", {}, h("i", { class: `stage stage-${part.name}` }), STAGES[part.name] ?? part.name, h("b", {}, shown(part.ms))),
      ),
    ),
  );
}
