// The connection: events as long as they come, questions where they do not, and since when nobody answers.

import { clock } from "./chart.js";
import { byId, put } from "./dom.js";
import { combined } from "./model.js";
import { speak } from "./speech.js";
import { view } from "./view.js";

const POLL_MS = 3000, SILENT_MS = 5000, VERSIONS_MS = 2000, VERSIONS_AGAIN_MS = 60000;
const here = location.origin + location.pathname.replace(/[^/]*$/, "");
let heard = 0, firstLost = null, identity = null, source = null, pollTimer = null, draw = null, versionsOf = null, versionsAsked = 0, asking = false;

// Follow the worker; `drawn` is called whenever there is something new to see.
export async function follow(drawn) {
  draw = drawn;
  setInterval(() => { if (heard && Date.now() - heard > SILENT_MS) lost(); }, 1000);
  await loadPast();
  connect();
}

async function loadPast() {
  try {
    const answer = await fetch(`${here}history`, { cache: "no-store" });
    if (answer.ok) view.past.load(await answer.json());
  } catch { /* the events say whether somebody is there */ }
}

// The versions are asked for when there is something new, and now and then, because what is seen of their quality is no news.
async function loadModels() {
  const since = Date.now() - versionsAsked, told = view.now.versionsTold;
  if (asking || since < VERSIONS_MS || (told === versionsOf && since < VERSIONS_AGAIN_MS)) return;
  asking = true;
  versionsAsked = Date.now();
  try {
    const answer = await fetch(`${here}models`, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    view.models = { ...(await answer.json()), stamp: versionsAsked };
    versionsOf = told;
    view.modelsLost = false;
  } catch { view.modelsLost = true; }
  asking = false;
  draw();
}

function connect() {
  source = new EventSource(`${here}events`);
  source.addEventListener("status", (event) => received(JSON.parse(event.data), "live"));
  source.onerror = () => {
    lost();
    if (source.readyState !== EventSource.CLOSED) return;
    source = null;
    poll(0);
  };
}

// Where there is no place for another stream, or the browser gives up: ask now and then, and try a stream again every few times.
async function poll(times) {
  clearTimeout(pollTimer);
  try {
    const answer = await fetch(`${here}status`, { cache: "no-store", signal: AbortSignal.timeout(POLL_MS * 2) });
    if (answer.status === 401) throw new Error("token");
    if (answer.ok) received(await answer.json(), "asking every 3 s");
  } catch (error) {
    lost(error.message === "token");
  }
  if (times % 5 === 4) connect();
  else pollTimer = setTimeout(poll, POLL_MS, times + 1);
}

function lost(token = false) {
  if (firstLost === null && heard) firstLost = heard;
  document.body.classList.add("lost");
  const since = firstLost === null ? "" : ` since ${clock(firstLost / 1000)}`;
  byId("lost").hidden = false;
  put(byId("lost"), token ? "The worker asks for a token: load the page again." : heard
    ? `The connection to the worker is lost${since}. What is shown is how it stood then. It is tried again until it answers.`
    : "The worker does not answer. It is tried again until it does.");
  put(byId("link"), `no connection${since}`);
  speak("lost", `The connection to the worker is lost${since}.`);
}

async function received(found, how) {
  const before = firstLost;
  heard = Date.now();
  firstLost = null;
  document.body.classList.remove("lost");
  byId("lost").hidden = true;
  const next = combined(found);
  if (before !== null) speak("back", "The worker answers again.");
  const other = identity !== null && identity !== next.identity;
  identity = next.identity;
  if (before !== null || other) await loadPast();
  view.now = next;
  view.past.add(next);
  put(byId("link"), how === "live" ? "live, once a second" : how);
  draw();
  loadModels();
}
