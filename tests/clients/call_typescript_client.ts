// Calls a service by the types that openapi-typescript generated: `node call_typescript_client.ts URL`.
// tsc checks it with --strict; Node.js runs it as it is. Prints what was answered as JSON.

import createClient from "openapi-fetch";

import type { components, paths } from "./api.d.ts";

declare const process: { argv: string[] };

type Problem = components["schemas"]["Problem"];

const client = createClient<paths>({ baseUrl: process.argv[2] });
const list = "/pymk/recommendations";

async function page(cursor: string) {
  const { data } = await client.GET(list, {
    params: { query: { user_id: "cid", limit: 1, cursor, fields: "name" } },
  });
  if (data === undefined) throw new Error("no list");
  return data;
}

const ready = await client.GET("/health/ready");
const first = await page("");
const second = await page(first.next ?? "");
const many = await client.POST(list, { body: { user_ids: ["cid", "nobody"], limit: 2, context: "email" } });
const user = { params: { path: { user_id: "bea" } } };
const put = await client.PUT("/pymk/users/{user_id}", { ...user, body: { name: "Ann", company: "Acme" } });
const profile = await client.GET("/pymk/users/{user_id}", user);
const accepted = await client.POST("/pymk/events", {
  body: [{ kind: "dismiss", user_id: "cid", other_id: "gus" }],
});
const after = await client.GET(list, { params: { query: { user_id: "cid" } } });
const wrong = await client.GET(list, { params: { query: { user_id: "cid", context: "moon" } } });
const problem: Problem | undefined = wrong.error;

console.log(
  JSON.stringify({
    ready: ready.data?.status,
    first: first.recommendations.map((one) => [one.user_id, one.profile]),
    second: second.recommendations.map((one) => one.user_id),
    many: many.data?.lists.map((one) => [one.user_id, one.served, one.recommendations.length]),
    put: put.data?.accepted,
    profile: profile.data,
    accepted: accepted.data?.accepted,
    after: after.data?.recommendations.map((one) => one.user_id),
    wrong: [wrong.response.status, problem?.status, problem?.errors?.[0].parameter],
  }),
);
