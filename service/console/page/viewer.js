// Whose list it is: the profile, how the list came about, and how long it took.

import { h } from "./dom.js";
import { avatar, columns, facts, nameOf } from "./people.js";
import { timingBar } from "./timing.js";
import { SERVED } from "./words.js";

/** What stands over the list of an answer. */
export function summary(answer, stages, ms, people) {
  const userId = answer.user_id;
  const picture = h("span", { class: "picture" }, avatar(userId, userId, "large"));
  const title = h("h2", {}, userId);
  const line = h("p", { class: "facts" }, h("code", {}, userId));
  const more = h("details", { class: "profile", hidden: true }, h("summary", {}, "Profile"));
  people.profile(userId).then((profile) => {
    title.textContent = nameOf(userId, profile);
    picture.replaceChildren(avatar(userId, nameOf(userId, profile), "large"));
    const told = facts(profile, 3);
    if (told.length) line.append(` · ${told.join(" · ")}`);
    const stored = columns(profile);
    if (!stored.length) return;
    more.append(h("dl", {}, stored.map(([column, text]) => h("div", {}, h("dt", {}, column), h("dd", {}, text)))));
    more.hidden = false;
  });
  return [
    h("div", {}, h("div", { class: "person-line" }, picture, h("div", { class: "who" }, title, line)), more),
    h("div", { class: "came" }, served(answer), timingBar(stages, ms)),
  ];
}

function served(answer) {
  const [word, meaning] = SERVED[answer.served] ?? [answer.served, ""];
  const count = answer.recommendations.length;
  return h(
    "p",
    { class: "served" },
    h("span", { class: `pill ${answer.served}` }, word),
    h("span", {}, `${count === 1 ? "1 person" : `${count} people`}, ${meaning}`),
  );
}
