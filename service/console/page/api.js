// The service over HTTP: the key, problems as sentences, and what an answer took.

const KEPT = "pymk-key";

/** What went wrong, as a sentence that a person can read. */
export class Problem extends Error {
  constructor(status, sentence, requestId) {
    super(sentence);
    this.status = status;
    this.requestId = requestId;
  }
}

export class Api {
  /** `askForKey(sentence)` resolves with a key, or with null where none is given. */
  constructor(askForKey) {
    this.askForKey = askForKey;
    this.asking = null;
    this.key = sessionStorage.getItem(KEPT);
  }

  forget() {
    this.key = null;
    sessionStorage.removeItem(KEPT);
  }

  recommendations(userId, context, limit, fresh, signal) {
    const query = new URLSearchParams({ user_id: userId, context, limit });
    return this.ask(`pymk/recommendations?${query}`, { signal, headers: fresh ? { "Cache-Control": "no-cache" } : {} });
  }

  async profile(userId) {
    return (await this.ask(`pymk/users/${encodeURIComponent(userId)}`)).body;
  }

  async version() {
    return (await this.ask("pymk/version")).body;
  }

  nights() {
    return this.ask("admin/nights");
  }

  why(userId, otherId, context, signal) {
    const pair = `${encodeURIComponent(userId)}/why/${encodeURIComponent(otherId)}`;
    return this.ask(`pymk/users/${pair}?${new URLSearchParams({ context })}`, { signal });
  }

  put(userId, columns, part = "") {
    const body = JSON.stringify(columns);
    const path = `pymk/users/${encodeURIComponent(userId)}${part}`;
    return this.ask(path, { method: "PUT", body, headers: { "Content-Type": "application/json" } });
  }

  contacts(userId, uploaded) {
    return this.put(userId, uploaded, "/contacts");
  }

  event(event) {
    const body = JSON.stringify([{ event_id: uniqueId(), ...event }]);
    return this.ask("pymk/events", { method: "POST", body, headers: { "Content-Type": "application/json" } });
  }

  /** {body, timing, ms}; asks for a key where one is needed. Throws Problem. */
  async ask(path, options = {}) {
    for (;;) {
      const sent = this.key;
      const headers = { ...options.headers, ...(sent ? { Authorization: `Bearer ${sent}` } : {}) };
      const began = performance.now();
      const response = await reached(path, { ...options, headers });
      if (response.ok) {
        const body = await response.json();
        return { body, timing: stages(response.headers.get("Server-Timing")), ms: performance.now() - began };
      }
      const problem = await problemOf(response);
      if (response.status !== 401 || !(await this.newKey(sent, problem))) throw problem;
    }
  }

  /** Whether there is another key than the one refused; several requests ask once. */
  async newKey(refused, problem) {
    if (this.key !== refused) return true;
    this.asking ??= this.askForKey(refused ? problem.message : null).finally(() => (this.asking = null));
    const key = await this.asking;
    if (!key) return false;
    this.key = key;
    sessionStorage.setItem(KEPT, key);
    return true;
  }
}

async function reached(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The service does not answer.", null);
  }
}

async function problemOf(response) {
  let document = {};
  try {
    document = await response.json();
  } catch {
    // an answer from something before the service: its status has to do
  }
  const detail = document.detail || document.title || `The service answered with status ${response.status}`;
  return new Problem(response.status, sentence(String(detail)), document.request_id ?? null);
}

/** A detail begins with a small letter, or with the name of a parameter and a colon, and ends without a stop. */
function sentence(detail) {
  const told = detail.replace(/^(user_id|other_id|limit|context): /, (_, name) => `the ${name.replace("_", " ")} `);
  const begun = told.charAt(0).toUpperCase() + told.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/** [{name, ms}] of a Server-Timing header. */
export function stages(header) {
  return (header ?? "").split(",").flatMap((part) => {
    const [name, ...parameters] = part.trim().split(";");
    const duration = parameters.map((one) => one.trim()).find((one) => one.startsWith("dur="));
    return name && duration ? [{ name, ms: Number(duration.slice(4)) }] : [];
  });
}

function uniqueId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `console-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
