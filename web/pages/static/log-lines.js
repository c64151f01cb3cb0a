// The lines of a log that this page has, and how it gets others: pages of lines by number, the oldest of which are
// forgotten. So a log of any length takes the memory of some ten thousand lines.

import { PLAIN, pieces } from "./log-ansi.js";

const PAGE = 500; // lines
const KEPT = 60; // pages

// The pieces of a line as the server sends it: of one that is too long its two ends, between which a note stands.
function shaped(text, style, leftOut, kept) {
  if (!leftOut) return pieces(text, style);
  const [head, middle] = pieces(text.slice(0, kept), style);
  const rest = text.slice(kept);
  const [tail, after] = pieces(rest, middle);
  if (rest.replace(/\r+$/, "").includes("\r")) return [tail, after]; // a progress bar: the rest is written over
  return [[...head, [` [${leftOut.toLocaleString("en")} bytes are left out: see raw] `, undefined], ...tail], after];
}

export class Lines {
  // `base` is the log's address; `changed` is called when there are more.
  constructor(base, attempt, count, changed) {
    this.base = base;
    this.attempt = attempt;
    this.count = count;
    this.changed = changed;
    this.pages = new Map(); // by number; the one used last is the last
    this.asked = new Set();
  }

  // The address of a part of the log.
  address(part, parameters) {
    return `${this.base}/${part}?${new URLSearchParams({ attempt: this.attempt, ...parameters })}`;
  }

  // The line with this number (from 1), or undefined; then `want` asks for it.
  get(number) {
    const page = this.pages.get(Math.floor((number - 1) / PAGE));
    return page && page[(number - 1) % PAGE];
  }

  // Ask for those of these lines that are not here, with the pages they are on. Between two that are wanted there may be
  // any number that is not: they are folded.
  want(numbers) {
    for (const index of new Set(numbers.map((number) => Math.floor((number - 1) / PAGE)))) {
      this.touch(index);
      const page = this.pages.get(index);
      const begin = index * PAGE + 1;
      let missing = begin;
      while (page && missing < begin + PAGE && page[missing - begin]) missing++;
      if (missing <= Math.min(begin + PAGE - 1, this.count)) this.ask(index, missing, begin + PAGE - missing);
    }
  }

  async ask(index, first, count) {
    if (this.asked.has(index)) return;
    this.asked.add(index);
    try {
      const answer = await fetch(this.address("lines", { from: first, count }));
      if (answer.ok) this.take(await answer.json());
      else await new Promise((done) => setTimeout(done, 2000));
    } catch {
      await new Promise((done) => setTimeout(done, 2000)); // the server is away
    } finally {
      this.asked.delete(index);
    }
    this.changed();
  }

  // Lines as the server sends them.
  take(part) {
    this.count = Math.max(this.count, part.count);
    this.size = part.size;
    part.lines.forEach(([text, time, leftOut, kept], i) => {
      const number = part.first + i;
      const index = Math.floor((number - 1) / PAGE);
      if (!this.pages.has(index)) this.pages.set(index, []);
      // Colours go on from the line before where that is known.
      const [shown, style] = shaped(text, this.get(number - 1)?.style ?? PLAIN, leftOut, kept);
      this.pages.get(index)[(number - 1) % PAGE] = { pieces: shown, style, time };
    });
    while (this.pages.size > KEPT) this.pages.delete(this.pages.keys().next().value);
  }

  touch(index) {
    const page = this.pages.get(index);
    if (page) {
      this.pages.delete(index);
      this.pages.set(index, page);
    }
  }
}
