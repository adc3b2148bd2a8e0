// The why of a pair: the verdict in a sentence, what made the score, the mutual connections, sources, every number.

import { drawn, h } from "./dom.js";
import { graph } from "./graph.js";
import { avatar } from "./people.js";
import { reasonOf } from "./cards.js";
import { featureValue, featureWords, minus, number, percent, ruleWords, signed, sourceWords } from "./words.js";

const BARS = 8;

/** The content of the panel for an answer; `viewer` and `other` are {userId, name}. */
export function explanation(why, viewer, other, { people, lookUp }) {
  return [
    h("div", { class: "pair" }, avatar(other.userId, other.name, "large"), heading(why, viewer, other)),
    verdict(why, viewer),
    why.rules.length ? rules(why.rules) : null,
    why.score ? contributions(why) : null,
    mutualsOf(why, viewer, other, lookUp),
    why.reasons.length
      ? section("What the viewer is told", h("ul", { class: "reasons" }, why.reasons.map((one) => reasonOf(one, people))))
      : null,
    section("Sources", sources(why.sources)),
    why.shared.length ? section("In common", shared(why.shared)) : null,
    why.features.length ? everything(why) : null,
    h("p", { class: "small" }, `Version ${why.version}, context ${why.context}`),
  ];
}

function heading(why, viewer, other) {
  return h(
    "div",
    {},
    h("h2", { id: "why-title", tabindex: "-1" }, `Why ${other.name}?`),
    h("p", { class: "small" }, h("code", {}, other.userId), ` for ${viewer.name}`),
  );
}

const section = (title, ...content) => h("section", {}, h("h3", {}, title), content);

function verdict(why, viewer) {
  return h("p", { class: `verdict ${why.position ? "in" : "out"}` }, sentence(why, viewer));
}

function sentence({ rules: names, position, candidate, listed, served }, viewer) {
  if (names.length) return "Not shown.";
  if (position && served === "cold_start") return `Position ${position} among the popular: ${viewer.name} has no candidates yet.`;
  if (position) return `Position ${position} in the list of ${viewer.name}.`;
  if (!candidate) return `Not shown: none of ${viewer.name}'s candidates, so never scored.`;
  return `Not shown: number ${candidate.rank} of ${candidate.of} by score, and a list ends after ${listed}.`;
}

function rules(names) {
  return h("ul", { class: "rules", "aria-label": "Rules" }, names.map((name) => h("li", {}, h("code", {}, name), ruleWords(name))));
}

function contributions({ score, features, candidate }) {
  const moved = features.filter((feature) => feature.contribution !== 0);
  const told = moved.slice(0, BARS);
  const rest = moved.slice(BARS);
  const left = rest.reduce((sum, feature) => sum + feature.contribution, 0) + score.residual;
  const rows = told.map((feature) => ({
    label: featureWords(feature.name),
    detail: featureValue(feature),
    contribution: feature.contribution,
  }));
  if (rest.length) rows.push({ label: `${rest.length} smaller`, detail: "", contribution: left });
  const up = Math.max(...rows.map((row) => row.contribution), 0);
  const down = Math.max(...rows.map((row) => -row.contribution), 0);
  const span = up + down || 1;
  return section(
    "What made the score",
    h(
      "p",
      { class: "sum" },
      h("strong", {}, percent(score.probability)),
      ` where ${viewerAverage(score)}; number ${candidate.rank} of ${candidate.of} by score`,
    ),
    drawn(h("ol", { class: "bars" }, rows.map((row) => bar(row, span))), { axis: down / span }),
    h("p", { class: "small" }, "Log-odds against the average candidate, by integrated gradients."),
  );
}

const viewerAverage = (score) => `the average candidate has ${percent(1 / (1 + Math.exp(-score.starting_point)))}`;

function bar({ label, detail, contribution }, span) {
  const way = contribution >= 0 ? "up" : "down";
  return h(
    "li",
    { class: way },
    h("span", { class: "bar-label" }, label, detail ? h("i", {}, detail) : null),
    h("span", { class: "bar-track", "aria-hidden": "true" }, drawn(h("b", {}), { share: Math.abs(contribution) / span })),
    h("span", { class: "bar-value" }, signed(contribution)),
  );
}

function mutualsOf(why, viewer, other, lookUp) {
  const { mutuals } = why;
  if (!mutuals.count || viewer.userId === other.userId) return null;
  const title = mutuals.count === 1 ? "1 mutual connection" : `${number(mutuals.count)} mutual connections`;
  return section(title, graph(viewer, other, mutuals, lookUp));
}

function sources(verdicts) {
  const mark = { true: ["found", "✓"], false: ["missed", "–"], null: ["unknown", "?"] };
  return h(
    "ul",
    { class: "verdicts" },
    verdicts.map(({ source, found, evidence }) => {
      const [word, sign] = mark[String(found)];
      return h(
        "li",
        { class: word },
        h("span", { class: "sign", role: "img", "aria-label": word }, sign),
        h("span", {}, sourceWords(source)),
        h("span", { class: "small" }, evidence ?? ""),
      );
    }),
  );
}

function shared(values) {
  return h(
    "ul",
    { class: "shared" },
    values.map(({ column, value }) => h("li", {}, h("span", { class: "small" }, column.replaceAll("_", " ")), value)),
  );
}

function everything({ features, score }) {
  const row = (name, value, contribution) =>
    h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value), h("td", {}, contribution));
  return h(
    "details",
    { class: "everything" },
    h("summary", {}, `Every number (${features.length})`),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": "Every number" },
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, ["feature", "read as", "log-odds"].map((one) => h("th", { scope: "col" }, one)))),
        h(
          "tbody",
          {},
          row("starting point: the average candidate", "", minus(score.starting_point.toFixed(3))),
          features.map((one) => row(one.name, exact(one), minus(one.contribution.toFixed(3)))),
          row("residual", "", minus(score.residual.toFixed(3))),
          row("log-odds", `logit ${minus(score.logit.toFixed(3))}`, minus(score.log_odds.toFixed(3))),
        ),
      ),
    ),
  );
}

const exact = ({ value, measure }) =>
  minus(value.toPrecision(4)) + (measure === null ? "" : ` (${minus(measure.toPrecision(3))})`);
