// The log's page: puts the view in the place of the plain lines, and joins it with the server, the address (#L10-L20),
// the buttons and the keys.

import { Folds } from "./log-folds.js";
import { Lines } from "./log-lines.js";
import { Search } from "./log-search.js";
import { View } from "./log-view.js";

const COMMANDS_EVERY = 2000; // milliseconds, while the step runs

const log = document.getElementById("log");
const tools = {};
for (const name of ["text", "before", "after", "found", "fold", "times", "follow"]) tools[name] = document.getElementById(`log-${name}`);
const lines = new Lines(log.dataset.base, log.dataset.attempt, Number(log.dataset.count), changed);
const folds = new Folds();
const view = new View(log, lines, folds, { clicked, folded, moved });
const search = new Search(lines, view, show, (text) => { tools.found.textContent = text; });
lines.finished = 0;
let following = false;
let commands = { list: [], known: 0, next: 0 };

function changed() {
  folds.update(lines.count, commands.list);
  view.refresh();
  if (following) view.moveTo(view.bottom);
}

function show(line) {
  follow(false);
  folds.open(line);
  view.refresh();
  view.show(line);
}

function follow(on) {
  following = on;
  tools.follow.setAttribute("aria-pressed", String(on));
  if (on) view.moveTo(view.bottom);
}

// Who scrolls up wants to read; who comes to the end wants to see what comes.
function moved(byHand) {
  if (byHand && !tools.follow.hidden) {
    following = view.atEnd;
    tools.follow.setAttribute("aria-pressed", String(following));
  }
}

function folded(line) {
  folds.toggle(line);
  view.refresh();
}

function clicked(line, range) {
  const first = range && view.chosen[0] ? Math.min(view.chosen[0], line) : line;
  const last = range && view.chosen[0] ? Math.max(view.chosen[0], line) : line;
  history.replaceState(null, "", first === last ? `#L${line}` : `#L${first}-L${last}`);
  view.chosen = [first, last];
  view.draw();
}

function choose() {
  const match = /^#L(\d{1,15})(?:-L(\d{1,15}))?$/.exec(location.hash);
  if (!match) return false;
  const first = Number(match[1]);
  view.chosen = [first, Number(match[2] ?? first)];
  show(Math.min(first, Math.max(1, lines.count)));
  return true;
}

async function findCommands() {
  try {
    const answer = await fetch(lines.address("commands", { known: commands.known, begin: commands.next }));
    if (!answer.ok) return;
    const { commands: list, known, next, finished } = await answer.json();
    commands = { list: [...commands.list, ...list], known, next };
    if (finished) lines.finished = finished;
    changed();
  } catch {
    // the server is away: the next time
  }
}

function live() {
  tools.follow.hidden = false;
  const source = new EventSource(lines.address("live", { skip: 1 }));
  const timer = setInterval(findCommands, COMMANDS_EVERY);
  source.addEventListener("lines", (event) => {
    lines.take(JSON.parse(event.data));
    changed();
  });
  source.addEventListener("end", async () => {
    source.close();
    clearInterval(timer);
    await findCommands();
    follow(false);
    tools.follow.hidden = true;
  });
}

function typed() {
  clearTimeout(typed.timer);
  typed.timer = setTimeout(() => search.start(tools.text.value, folds.lineOf(Math.floor(view.top))), 200);
}

const MOVES = {
  ArrowDown: () => view.top + 1, ArrowUp: () => view.top - 1, j: () => view.top + 1, k: () => view.top - 1,
  PageDown: () => view.top + view.sight - 1, PageUp: () => view.top - view.sight + 1, " ": () => view.top + view.sight - 1,
  Home: () => 0, End: () => view.bottom, g: () => 0, G: () => view.bottom,
};
const DEEDS = {
  "/": () => { tools.text.focus(); tools.text.select(); }, n: () => search.step(1), N: () => search.step(-1),
  t: () => tools.times.click(), f: () => tools.follow.hidden || tools.follow.click(),
};

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest?.("input, textarea, select")) return;
  const move = document.activeElement === view.box || document.activeElement === document.body ? MOVES[event.key] : undefined;
  if (move) view.moveTo(move(), true);
  else if (DEEDS[event.key]) DEEDS[event.key]();
  else return;
  event.preventDefault();
}

log.querySelector(".log-plain").remove();
log.querySelector(".log-tools").hidden = false;
document.addEventListener("keydown", pressed);
addEventListener("hashchange", choose);
tools.text.addEventListener("input", typed);
tools.text.addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    if (search.text === tools.text.value) search.step(event.shiftKey ? -1 : 1);
    else typed();
  } else if (event.key === "Escape") view.box.focus();
});
tools.before.addEventListener("click", () => search.step(-1));
tools.after.addEventListener("click", () => search.step(1));
tools.fold.addEventListener("click", () => { folds.toggleAll(); view.refresh(); });
tools.times.addEventListener("click", () => {
  view.times = !view.times;
  tools.times.setAttribute("aria-pressed", String(view.times));
  view.draw();
});
tools.follow.addEventListener("click", () => follow(!following));
folds.update(lines.count, []);
view.refresh();
const chosen = choose();
if (log.dataset.ended === "0") {
  live();
  if (!chosen) follow(true);
}
findCommands();
