// What is said aloud by a screen reader: only what happened, and at most every few seconds.

import { byId, put } from "./dom.js";

const SPEAK_EVERY_MS = 10000;
let spokenAt = 0, speechTimer = null;
const toSpeak = new Map();

export function speak(key, text) {
  if (toSpeak.get(key) === text) return;
  toSpeak.set(key, text);
  clearTimeout(speechTimer);
  speechTimer = setTimeout(() => {
    spokenAt = Date.now();
    put(byId("spoken"), [...toSpeak.values()].slice(-3).join(" "));
    toSpeak.clear();
  }, Math.max(300, spokenAt + SPEAK_EVERY_MS - Date.now()));
}
