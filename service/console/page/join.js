// The path of somebody new: the question worth asking, contacts, and then first friends, on the cards of the list.

import { h } from "./dom.js";
import { Problem } from "./api.js";

const JOINING = new Set(["cold_start"]);

/**
 * The forms of somebody of whom little is known, or who has contacts in her list; null for everybody else. `before` is
 * what stands there: of the same user it stays, whatever the answer, since she may be writing in it.
 */
export function joining(answer, api, done, fail, before) {
  const userId = answer.user_id;
  if (before?.dataset.user === userId) {
    askNext(before);
    return before;
  }
  if (!answer.ask && !JOINING.has(answer.served) && !hasContacts(answer)) return null;
  return h(
    "div",
    { class: "joining", "data-user": userId },
    answer.ask ? ask() : null,
    contacts({
      upload: (addresses) => put(async () => ({ contacts: await hashes(addresses) }), "The contacts are uploaded."),
      own: (addresses) => put(async () => ({ own: await hashes(addresses) }), "The address is noted."),
      takeBack: () => put(async () => ({ contacts: [] }), "The contacts are taken back."),
    }),
  );

  /** Puts the question of the answer in the place of the one before, unless something is written in that. */
  function askNext(form) {
    const asked = form.querySelector(".ask");
    if (asked?.dataset.column === answer.ask || asked?.querySelector("input").value) return;
    const held = asked?.contains(document.activeElement);
    asked?.remove();
    if (answer.ask) form.prepend(ask());
    if (held) form.querySelector(".ask input, summary").focus({ preventScroll: true });
  }

  function ask() {
    const column = answer.ask;
    return question(column, (value) => send(() => api.put(userId, { [column]: value }), `${column} is noted.`));
  }

  function put(uploaded, said) {
    return send(async () => api.contacts(userId, await uploaded()), said);
  }

  /** Whether the request was taken. */
  async function send(request, said) {
    try {
      await request();
    } catch (error) {
      fail(error);
      return false;
    }
    done(said);
    return true;
  }
}

function question(column, answered) {
  const input = h("input", { name: "value", required: true, maxlength: 256, autocomplete: "off" });
  const form = h(
    "form",
    { class: "question ask", "data-column": column },
    h("label", { class: "grow" }, h("span", {}, `What helps most to know: ${column.replaceAll("_", " ")}`), input),
    h("button", { type: "submit", class: "quiet" }, "Answer"),
  );
  const alone = oneAtATime();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    alone(async () => {
      const written = input.value;
      if (written.trim() && (await answered(written.trim())) && input.value === written) form.reset();
    });
  });
  return form;
}

function contacts({ upload, own, takeBack }) {
  const text = h("textarea", { rows: 3, spellcheck: "false", required: true, placeholder: "bea@example.org" });
  const alone = oneAtATime();
  const form = h(
    "form",
    { class: "question contacts" },
    h(
      "label",
      { class: "grow" },
      h("span", {}, "E-mail addresses, one a line: hashed here, never sent. They replace those uploaded before."),
      text,
    ),
    h("button", { type: "submit", class: "quiet" }, "Are contacts"),
    h("button", { type: "button", class: "quiet own", onclick: () => give(own) }, "Are her own"),
    h("button", { type: "button", class: "quiet take-back", onclick: () => alone(takeBack) }, "Take back"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    give(upload);
  });
  const summary = h("summary", {}, "Contacts");
  const all = h("details", { class: "upload" }, summary, form);
  return all;

  function give(taken) {
    alone(async () => {
      const written = text.value;
      const addresses = lines(written);
      if (!addresses.length || !(await taken(addresses)) || text.value !== written) return;
      const held = form.contains(document.activeElement);
      form.reset();
      all.open = false;
      if (held) summary.focus({ preventScroll: true });
    });
  }
}

function lines(written) {
  return written.split("\n").map((line) => line.trim().normalize("NFC").toLowerCase()).filter(Boolean);
}

/** A function that does what it is given, or nothing while it does something still. */
function oneAtATime() {
  let isBusy = false;
  return (does) => {
    if (isBusy) return;
    isBusy = true;
    does().finally(() => (isBusy = false));
  };
}

function hasContacts(answer) {
  return answer.recommendations.some((one) => one.reasons.some((reason) => reason.code === "contact"));
}

/** SHA-256 of each address, in hexadecimal, equal ones once: what the service takes. */
async function hashes(addresses) {
  if (!crypto.subtle) throw new Problem(0, "This page can hash addresses only over https or on this machine.", null);
  const wrong = addresses.find((one) => !/^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(one));
  if (wrong) throw new Problem(0, `${wrong} is not an e-mail address.`, null);
  const encoded = addresses.find((one) => /[@.]xn--/.test(one.slice(one.lastIndexOf("@"))));
  if (encoded) throw new Problem(0, `${encoded}: write the domain as it reads, not as xn--.`, null);
  const digest = async (one) => new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(one)));
  const found = await Promise.all(addresses.map(digest));
  return [...new Set(found.map((bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")))];
}
