// The view: rows of one height, of which those in sight are elements. `top` says which row is the first, in fractions;
// the scroll bar follows it. Browsers have no elements of 20 million pixels, so that of a long log stands for more than
// it is high, and the wheel and the keys move by rows and not by the bar.

import { element } from "./log-ansi.js";

const TALLEST = 8_000_000; // pixels
const AHEAD = 50; // rows out of sight whose lines are wanted all the same

export class View {
  // `lines` and `folds` say what is shown; `on` has clicked(line, range), folded(line), moved(byHand).
  constructor(parent, lines, folds, on) {
    Object.assign(this, { lines, folds, on, top: 0, times: false, chosen: [0, -1], here: 0, hits: new Set(), needle: "" });
    this.box = make("div", "log-view");
    this.box.tabIndex = 0;
    this.box.setAttribute("role", "region");
    this.box.setAttribute("aria-label", "Lines");
    this.layer = this.box.appendChild(make("div", "log-rows"));
    this.spacer = this.box.appendChild(make("div", "log-space"));
    parent.append(this.box);
    this.height = parseFloat(getComputedStyle(this.layer).getPropertyValue("--row")) || 20;
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.layer.addEventListener("click", (event) => this.click(event));
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  get sight() {
    return this.box.clientHeight / this.height;
  }

  get bottom() {
    return Math.max(0, this.folds.rows - this.sight);
  }

  get range() {
    return Math.max(0, this.spacer.offsetHeight - this.box.clientHeight);
  }

  // Whether the last line is in sight.
  get atEnd() {
    return this.top >= this.bottom - 1;
  }

  // Have this row first.
  moveTo(row, byHand = false) {
    this.top = Math.max(0, Math.min(row, this.bottom));
    this.place();
    this.draw();
    this.on.moved(byHand);
  }

  // Have a line in the middle, unless it is in sight.
  show(line) {
    const row = this.folds.rowOf(line);
    if (row < this.top || row > this.top + this.sight - 2) this.moveTo(row - Math.floor(this.sight / 3));
    else this.draw();
  }

  // Put the scroll bar where `top` is.
  place() {
    this.spacer.style.height = `${Math.min(TALLEST, Math.ceil(this.folds.rows * this.height))}px`;
    const wanted = this.bottom ? Math.round((this.top / this.bottom) * this.range) : 0;
    if (Math.abs(this.box.scrollTop - wanted) >= 1) this.box.scrollTop = wanted;
    this.placed = this.box.scrollTop;
  }

  scrolled() {
    if (Math.abs(this.box.scrollTop - this.placed) < 1) return; // our own doing, or sideways
    this.placed = this.box.scrollTop;
    this.top = this.range ? (this.placed / this.range) * this.bottom : 0;
    this.draw();
    this.on.moved(true);
  }

  wheel(event) {
    if (event.ctrlKey || event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY) || !this.bottom) return;
    const unit = [1, this.height, this.box.clientHeight][event.deltaMode];
    const before = this.top;
    this.moveTo(this.top + (event.deltaY * unit) / this.height, true);
    if (this.top !== before) event.preventDefault();
  }

  // More lines, other folds: the same rows stay in sight, as far as there are any.
  refresh() {
    this.top = Math.max(0, Math.min(this.top, this.bottom));
    this.place();
    this.draw();
  }

  // Draw soon, once for all that has changed until then.
  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.render();
    });
  }

  render() {
    const first = Math.floor(this.top);
    const last = Math.min(this.folds.rows, Math.ceil(this.top + this.sight) + 1);
    const rows = [];
    for (let row = first; row < last; row++) rows.push(this.row(this.folds.lineOf(row)));
    this.layer.replaceChildren(...rows);
    this.layer.style.transform = `translateY(${-(this.top - first) * this.height}px)`;
    const wanted = [];
    for (let row = Math.max(0, first - AHEAD); row < Math.min(this.folds.rows, last + AHEAD); row++) wanted.push(this.folds.lineOf(row));
    this.lines.want(wanted);
  }

  row(number) {
    const line = this.lines.get(number);
    const row = make("div", "log-row");
    row.dataset.line = number;
    const command = this.folds.beginning(number);
    row.classList.toggle("command", command >= 0);
    row.classList.toggle("chosen", number >= this.chosen[0] && number <= this.chosen[1]);
    row.classList.toggle("hit", this.hits.has(number));
    row.classList.toggle("here", number === this.here);
    const link = row.appendChild(make("a", "log-number", String(number)));
    link.href = `#L${number}`;
    if (this.times) row.append(make("span", "log-time", line ? clock(line.time) : ""));
    if (command >= 0) {
      const folded = this.folds.folded.has(number);
      const button = row.appendChild(make("button", "log-fold", folded ? "▶" : "▼"));
      button.setAttribute("aria-expanded", String(!folded));
      button.setAttribute("aria-label", folded ? "Open" : "Fold");
    } else row.append(make("span", "log-blank"));
    const text = row.appendChild(make("span", "log-text"));
    if (line) this.fill(text, line);
    else text.textContent = "…";
    if (command >= 0) row.append(make("span", "log-took", this.took(command)));
    return row;
  }

  fill(target, line) {
    for (const [text, style] of line.pieces) {
      if (style === undefined) target.append(make("span", "log-cut", text));
      else for (const [part, found] of parts(text, this.needle)) {
        const span = element(part, style);
        if (!found) target.append(span);
        else target.appendChild(document.createElement("mark")).append(span);
      }
    }
  }

  took(index) {
    const begun = this.folds.commands[index].time;
    const ended = this.folds.commands[index + 1]?.time ?? this.lines.finished;
    return ended ? duration(ended - begun) : "…";
  }

  click(event) {
    const row = event.target.closest(".log-row");
    if (!row || !(event.target instanceof Element)) return;
    const number = Number(row.dataset.line);
    if (event.target.closest(".log-fold")) this.on.folded(number);
    else if (event.target.closest(".log-number")) {
      event.preventDefault();
      this.on.clicked(number, event.shiftKey);
    }
  }
}

function make(tag, name, text) {
  const made = document.createElement(tag);
  made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

// A text in parts, of which those that are the needle are marked.
function parts(text, needle) {
  if (!needle) return [[text, false]];
  const found = [];
  const folded = text.toLowerCase();
  let at = 0;
  for (let hit = folded.indexOf(needle); hit >= 0 && folded.length === text.length; hit = folded.indexOf(needle, at)) {
    if (hit > at) found.push([text.slice(at, hit), false]);
    found.push([text.slice(hit, hit + needle.length), true]);
    at = hit + needle.length;
  }
  if (at < text.length) found.push([text.slice(at), false]);
  return found;
}

function clock(time) {
  const date = new Date(time * 1000);
  const two = (n) => String(n).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
