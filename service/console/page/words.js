// What the page calls things that answers name by code.

export const SERVED = {
  ranked: ["Ranked", "from this version's candidates, just now"],
  cache: ["Kept", "ranked before, cut by what is forbidden now"],
  stale: ["Stale", "an older version's list while a new one is made"],
  cold_start: ["Cold start", "the popular, as there are no candidates of this person's own yet"],
  empty: ["Empty", "nobody may be shown to this person"],
};

export const SOURCES = {
  friends_of_friends: "Friends of friends",
  random_walk: "Random walk",
  three_hops: "Three hops",
  embedding: "Embedding",
  same_attributes: "Same attributes",
  popular: "Popular",
  popular_of_late: "Popular of late",
  contacts: "Contacts",
  newcomers: "New here",
};

const RULES = {
  self: "this is the viewer",
  connected: "already connected",
  undiscoverable: "asked never to be suggested",
  inactive: "deactivated",
  excluded: "left out by the request",
  newcomer: "came after the last night, and is suggested from the next one on",
  viewer_inactive: "the viewer is deactivated and is shown nobody",
  erased: "erased",
  dismissed: "dismissed by the viewer",
  reported: "reported by the viewer",
  blocked: "one of the two has blocked the other",
  invited: "one of the two has invited the other, and the answer is pending",
  refused: "lately disconnected or declined",
  fatigue: "shown too often without being acted on",
  exposure: "shown to too many people lately",
  suspicious: "hardly fits its own connections",
  context: "this surface wants fewer, or better scored",
  diversity: "too many of the same kind on the page",
};

const whole = (number) => Math.round(number).toLocaleString("en");
/** Digits with a minus as wide as a plus. */
export const minus = (digits) => digits.replace(/^-/, "−");
const few = (number) =>
  minus(Math.abs(number) >= 0.01 ? number.toFixed(2) : String(Number(number.toPrecision(2))));
const yes = (number) => (number > 0.5 ? "yes" : "no");
const counted = (one, many) => (number) => `${whole(number)} ${Math.round(number) === 1 ? one : many}`;

/** By feature: what it is called, and how its quantity is told. */
const FEATURES = {
  common_neighbours: ["Mutual connections", whole],
  adamic_adar: ["Mutual connections, rare ones first", few],
  resource_allocation: ["Resource allocation", few],
  three_hops: ["Paths of three steps", few],
  pagerank: ["Random walk from the viewer", few],
  embedding_cosine: ["Embedding similarity", few],
  affinity: ["Alike profiles", few],
  jaccard: ["Share of friends in common", (number) => `${(number * 100).toFixed(1)}%`],
  log_position: ["Place in the night's order", (number) => `place ${whole(number + 1)}`],
  candidate_log_degree: ["Their connections", counted("connection", "connections")],
  candidate_clustering: ["Their friends know each other", (number) => `${(number * 100).toFixed(0)}%`],
  candidate_friends_log_degree: ["Their friends' connections", (number) => `about ${whole(number)}`],
  candidate_log_spectral_norm: ["Their centrality", few],
  candidate_late_1: ["Their connections of the last 1% of time", whole],
  candidate_late_3: ["Their connections of the last 3% of time", whole],
  candidate_late_10: ["Their connections of the last 10% of time", whole],
  candidate_late_30: ["Their connections of the last 30% of time", whole],
  candidate_last_age: ["Age of their last connection", (number) => `${(number * 100).toFixed(1)}% of time`],
  candidate_first_age: ["Age of their first connection", (number) => `${(number * 100).toFixed(1)}% of time`],
  tower_product: ["Same communities", few],
  source_friends_of_friends: ["Found by friends of friends", yes],
  source_random_walk: ["Found by random walk", yes],
  source_three_hops: ["Found by three hops", yes],
  source_embedding: ["Found by embedding", yes],
  source_same_attributes: ["Found by same attributes", yes],
  source_popular: ["Found as popular", yes],
};

const plain = (code) => code.replaceAll("_", " ");

export const ruleWords = (code) => RULES[code] ?? plain(code);
export const sourceWords = (code) => SOURCES[code] ?? plain(code);
export const featureWords = (name) => FEATURES[name]?.[0] ?? plain(name);
export const featureValue = ({ name, measure, value }) => (FEATURES[name]?.[1] ?? few)(measure ?? value);

export const percent = (score) => `${(score * 100).toFixed(score >= 0.1 ? 0 : score >= 0.01 ? 1 : 2)}%`;
export const signed = (number) => `${number >= 0 ? "+" : "−"}${Math.abs(number).toFixed(2)}`;
export const number = (value) => value.toLocaleString("en");

/** Past and undone forms of what a card can do. */
export const ACTIONS = {
  connect: { label: "Connect", key: "c", done: (name) => `Connected with ${name}.`, undo: null },
  dismiss: { label: "Dismiss", key: "d", done: (name) => `Dismissed ${name}.`, undo: "undismiss" },
  block: { label: "Block", key: "b", done: (name) => `Blocked ${name}.`, undo: "unblock" },
};
