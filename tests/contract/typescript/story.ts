// One person's first minutes, told by a client that was generated from the OpenAPI document.
// Arguments: the address of the API, the folder of the mail catcher, a photograph.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import createClient, { type Middleware } from "openapi-fetch";

import type { components, paths } from "./schema.d.ts";

type File = components["schemas"]["FileBody"];
type Job = components["schemas"]["JobBody"];

const [url = "", mails = "", photograph = ""] = process.argv.slice(2);
const email = `typescript-${randomBytes(6).toString("hex")}@example.org`;
const password = randomBytes(18).toString("base64url");
const api = createClient<paths>({ baseUrl: url });

function withToken(token: string): Middleware {
  return {
    onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${token}`);
      return request;
    },
  };
}

async function register(): Promise<void> {
  const { data, error, response } = await api.POST("/v1/auth/register", {
    params: { header: { "Idempotency-Key": randomBytes(8).toString("hex") } },
    body: { email, password, name: "Ada" },
  });
  assert.equal(response.status, 202, error?.detail);
  assert.ok(data?.message);
}

async function confirmAddress(): Promise<void> {
  const { response } = await api.POST("/v1/auth/email/verify", { body: { token: await tokenOfMail() } });
  assert.equal(response.status, 204);
}

async function tokenOfMail(): Promise<string> {
  for (let attempt = 0; attempt < 300; attempt++) {
    for (const name of await readdir(mails).catch(() => [])) {
      if (!name.endsWith(".eml")) continue;
      const mail = (await readFile(join(mails, name), "utf8")).replace(/=\r?\n/g, "").replaceAll("=3D", "=");
      const token = mail.includes(email) ? /[?&]token=([\w.~-]+)/.exec(mail)?.[1] : undefined;
      if (token) return token;
    }
    await pause(100);
  }
  throw new Error(`no mail to ${email}`);
}

async function logIn(): Promise<void> {
  const wrong = await tokens("not this one");
  assert.equal(wrong.response.status, 400);
  assert.equal(wrong.error?.code, "auth.invalid_credentials");
  const { data } = await tokens(password);
  assert.ok(data);
  api.use(withToken(data.access_token));
}

function tokens(password: string) {
  return api.POST("/v1/auth/token", {
    body: { grant_type: "password", username: email, password },
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
  });
}

async function lookAtMyself(): Promise<void> {
  const { data, response } = await api.GET("/v1/users/me");
  assert.equal(data?.email, email);
  assert.equal(data.email_verified, true);
  const tag = response.headers.get("ETag") ?? "";
  const again = await api.GET("/v1/users/me", { params: { header: { "If-None-Match": tag } } });
  assert.equal(again.response.status, 304);
  const header = { "If-Match": tag };
  const changed = await api.PATCH("/v1/users/me", { params: { header }, body: { name: "Ada Lovelace" } });
  assert.equal(changed.data?.name, "Ada Lovelace");
  const stale = await api.PATCH("/v1/users/me", { params: { header }, body: { name: "Somebody" } });
  assert.equal(stale.error?.code, "request.precondition_failed");
}

async function upload(bytes: Buffer<ArrayBuffer>): Promise<File> {
  const { data, error, response } = await api.POST("/v1/files", {
    body: { file: "", tags: ["portrait"], metadata: '{"camera": "mine"}' },
    bodySerializer: (body) => {
      const form = new FormData();
      form.append("file", new Blob([bytes], { type: "image/jpeg" }), basename(photograph));
      if (typeof body === "object") {
        body.tags?.forEach((tag) => form.append("tags", tag));
        form.append("metadata", body.metadata ?? "{}");
      }
      return form;
    },
  });
  assert.ok(data, error?.detail);
  assert.equal(response.headers.get("Location"), `/v1/files/${data.id}`);
  assert.equal(data.sha256, createHash("sha256").update(bytes).digest("hex"));
  assert.deepEqual(data.tags, ["portrait"]);
  return data;
}

async function follow(file: File): Promise<void> {
  const work = file.jobs[0];
  assert.ok(work, "no work was begun");
  const path = { job_id: work.id };
  const { data: events } = await api.GET("/v1/jobs/{job_id}/events", { params: { path }, parseAs: "text" });
  const last = events?.split("\n").findLast((line) => line.startsWith("data:"));
  const state = JSON.parse(last?.slice(5) ?? "null") as Job;
  assert.equal(state.status, "succeeded");
  const { data: job } = await api.GET("/v1/jobs/{job_id}", { params: { path } });
  assert.equal(job?.progress.percent, 100);
  assert.equal(job.resource?.id, file.id);
}

async function download(file: File, bytes: Buffer): Promise<void> {
  const path = { file_id: file.id };
  const whole = await api.GET("/v1/files/{file_id}/content", { params: { path }, parseAs: "arrayBuffer" });
  assert.ok(bytes.equals(Buffer.from(whole.data as unknown as ArrayBuffer)));
  const params = { path, header: { Range: "bytes=1000-1999" } };
  const part = await api.GET("/v1/files/{file_id}/content", { params, parseAs: "arrayBuffer" });
  assert.equal(part.response.status, 206);
  assert.ok(bytes.subarray(1000, 2000).equals(Buffer.from(part.data as unknown as ArrayBuffer)));
}

async function lookAtRenditions(file: File): Promise<void> {
  const { data } = await api.GET("/v1/files/{file_id}/renditions", { params: { path: { file_id: file.id } } });
  assert.deepEqual(data?.data.map((made) => made.name).sort(), ["large", "small", "thumb"]);
  const path = { file_id: file.id, name: "thumb" };
  const { response } = await api.GET("/v1/files/{file_id}/renditions/{name}", { params: { path }, parseAs: "blob" });
  assert.equal(response.headers.get("Content-Type"), "image/webp");
}

async function readPages(): Promise<void> {
  let cursor: string | undefined;
  let seen = 0;
  do {
    const { data } = await api.GET("/v1/files", { params: { query: { limit: 1, tag: "portrait", cursor } } });
    assert.ok(data);
    seen += data.data.length;
    cursor = data.next_cursor ?? undefined;
  } while (cursor);
  assert.equal(seen, 2);
}

async function tidyUp(file: File): Promise<void> {
  const path = { file_id: file.id };
  assert.equal((await api.DELETE("/v1/files/{file_id}", { params: { path } })).response.status, 204);
  const { error } = await api.GET("/v1/files/{file_id}/content", { params: { path } });
  assert.equal(error?.code, "files.in_trash");
  assert.equal((await api.POST("/v1/files/{file_id}/restore", { params: { path } })).data?.id, file.id);
  assert.equal((await api.POST("/v1/auth/logout")).response.status, 204);
  assert.equal((await api.GET("/v1/users/me")).error?.code, "auth.session_ended");
}

await register();
await confirmAddress();
await logIn();
await lookAtMyself();
const bytes = await readFile(photograph);
const file = await upload(bytes);
await upload(bytes);
await follow(file);
await download(file, bytes);
await lookAtRenditions(file);
await readPages();
await tidyUp(file);
console.log("The story was told.");
