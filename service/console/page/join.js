// The path of somebody new: the question worth asking, contacts, and then first friends, on the cards of the list.

import { h } from "./dom.js";
import { Problem } from "./api.js";

const JOINING = new Set(["cold_start"]);

/** What somebody of whom little is known may be asked for; null for everybody else. */
export function joining(answer, api, done, fail) {
  if (!answer.ask && !JOINING.has(answer.served)) return null;
  const userId = answer.user_id;
  return h(
    "div",
    { class: "joining" },
    answer.ask ? question(answer.ask, (value) => send(() => api.put(userId, { [answer.ask]: value }), `${answer.ask} is noted.`)) : null,
    contacts(
      (addresses) => send(async () => api.contacts(userId, { contacts: await hashes(addresses) }), "The contacts are uploaded."),
      (addresses) => send(async () => api.contacts(userId, { own: await hashes(addresses) }), "The address is noted."),
    ),
  );

  async function send(request, said) {
    try {
      await request();
      done(said);
    } catch (error) {
      fail(error);
    }
  }
}

function question(column, answered) {
  const input = h("input", { name: "value", required: true, maxlength: 256, autocomplete: "off" });
  const form = h(
    "form",
    { class: "question ask" },
    h("label", { class: "grow" }, h("span", {}, `What helps most to know: ${column.replaceAll("_", " ")}`), input),
    h("button", { type: "submit", class: "quiet" }, "Answer"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) answered(input.value.trim());
  });
  return form;
}

function contacts(upload, own) {
  const text = h("textarea", { rows: 3, spellcheck: "false", required: true, placeholder: "bea@example.org" });
  const form = h(
    "form",
    { class: "question contacts" },
    h("label", { class: "grow" }, h("span", {}, "E-mail addresses, one a line: hashed here, never sent"), text),
    h("button", { type: "submit", class: "quiet" }, "Are contacts"),
    h("button", { type: "button", class: "quiet own", onclick: () => lines().length && own(lines()) }, "Are her own"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (lines().length) upload(lines());
  });
  return h("details", { class: "upload" }, h("summary", {}, "Contacts"), form);

  function lines() {
    return text.value.split("\n").map((line) => line.trim().normalize("NFC").toLowerCase()).filter(Boolean);
  }
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
