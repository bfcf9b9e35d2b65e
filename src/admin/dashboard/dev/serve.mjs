// Serves the built dashboard with a recorded state instead of a proxy: node dev/serve.mjs FIXTURE.json [PORT]
// A fixture holds the snapshot, and what the other events and paths answer; times are moved to now.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const dist = join(dirname(fileURLToPath(import.meta.url)), "../dist");
const fixture = JSON.parse(readFileSync(process.argv[2], "utf8"));
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const types = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
const moved = Date.now() - fixture.snapshot.at_ms;
const later = (value) =>
  JSON.parse(JSON.stringify(value), (key, inner) => {
    if (key === "at_ms") return inner + moved;
    return key === "at" && typeof inner === "string" ? new Date(Date.parse(inner) + moved).toISOString() : inner;
  });

const json = (response, status, body) => {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(body));
};

function events(response) {
  if (fixture.silent) return response.writeHead(503).end();
  response.writeHead(200, { "content-type": "text/event-stream" });
  const tell = (event, data) => response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  tell("notices", { notices: later(fixture.notices ?? []) });
  if (fixture.projects) tell("projects", fixture.projects);
  let second = 0;
  const snapshot = () => tell("snapshot", { ...later(fixture.snapshot), at_ms: Date.now(), figures: second++ === 0 ? later(fixture.snapshot.figures) : {} });
  snapshot();
  if (fixture.dies) return setTimeout(() => response.destroy(), 1500).unref();
  const beat = setInterval(snapshot, 1000);
  response.on("close", () => clearInterval(beat));
}

let followed = 0;
const server = createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  const name = decodeURIComponent(url.pathname.split("/")[3] ?? "");
  if (request.method === "POST" || request.method === "PUT") return json(response, fixture.answer?.status ?? 200, fixture.answer?.body ?? { message: "it is done" });
  if (url.pathname === "/v1/events") return fixture.dies && followed++ > 0 ? response.writeHead(503).end() : events(response);
  if (url.pathname.endsWith("/history")) return json(response, 200, later(fixture.history?.[name] ?? { window_seconds: 10, points: [], spectra: { stable: { requests: 0, points: [] }, canary: { requests: 0, points: [] } } }));
  if (url.pathname.endsWith("/journal")) return json(response, 200, later(fixture.journal?.[name] ?? { entries: [], complete: true }));
  if (url.pathname === "/") followed = 0;
  const file = url.pathname === "/" ? "index.html" : url.pathname.split("/").pop();
  try {
    const content = readFileSync(join(dist, file));
    response.writeHead(200, { "content-type": types[file.split(".").pop()] ?? "text/plain", "content-security-policy": policy });
    response.end(content);
  } catch {
    response.writeHead(404).end();
  }
});
server.listen(Number(process.argv[3] ?? 0), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
