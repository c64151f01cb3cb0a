// Makes the pages live. Every page works without it; texts are put in as text, and HTML only as our own server rendered it.
"use strict";

// Times: as the reader's clock says them, and how long ago.
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];

function ago(seconds) {
  for (const [unit, size] of UNITS) {
    if (seconds >= size) return relative.format(-Math.floor(seconds / size), unit);
  }
  return relative.format(0, "second");
}

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function tellTimes() {
  const now = Date.now();
  for (const element of document.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    element.title = moment.toLocaleString();
    element.textContent = ago((now - moment) / 1000);
  }
  for (const element of document.querySelectorAll("[data-since]")) {
    element.textContent = duration(now / 1000 - Number(element.dataset.since));
  }
}

// A list without an end: the next part comes when its link is nearly in sight.
function followList(list) {
  const watcher = new IntersectionObserver(async (entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    const link = list.querySelector(".more a");
    watcher.disconnect();
    if (!link) return;
    const response = await fetch(`${link.href}&part`);
    if (!response.ok) return; // the link is still there
    const part = document.createElement("template");
    part.innerHTML = await response.text();
    link.closest("li").replaceWith(part.content);
    tellTimes();
    watch();
  }, { rootMargin: "600px" });
  const watch = () => {
    const more = list.querySelector(".more");
    if (more) watcher.observe(more);
  };
  watch();
}

// What changes while a build runs is asked for again until it is over; less often when nobody looks.
function followBuild(live) {
  const part = live.dataset.part;
  const ask = async () => {
    if (!document.hidden) {
      try {
        const response = await fetch(part);
        if (response.ok) {
          const text = await response.text();
          if (text !== live.last) {
            live.last = text;
            const focused = document.activeElement?.getAttribute("href");
            live.innerHTML = text;
            if (focused) live.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
            tellTimes();
          }
        }
      } catch {
        // the server is away; it is asked again
      }
    }
    const over = live.querySelector("[data-over]");
    if (!over) setTimeout(ask, document.hidden ? 10000 : 1500);
  };
  if (!live.querySelector("[data-over]")) setTimeout(ask, 1500);
}

// Keys: / searches, j and k go through a list, t changes the theme.
function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "/") {
    const search = document.querySelector("input[type=search], .filter input");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  } else if (event.key === "j" || event.key === "k") {
    const links = [...document.querySelectorAll(".rows .name, .steps a")];
    const at = links.indexOf(document.activeElement);
    links[Math.min(Math.max(at + (event.key === "j" ? 1 : -1), 0), links.length - 1)]?.focus();
  } else if (event.key === "t") {
    changeTheme();
  }
}

const THEMES = ["auto", "light", "dark"];

function changeTheme() {
  const now = localStorage.getItem("theme") ?? "auto";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  localStorage.setItem("theme", next);
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  tellTheme();
}

function tellTheme() {
  const button = document.getElementById("theme");
  if (button) button.textContent = `Theme: ${localStorage.getItem("theme") ?? "auto"}`;
}

document.addEventListener("keydown", keys);
const button = document.getElementById("theme");
if (button) {
  button.hidden = false;
  button.addEventListener("click", changeTheme);
  tellTheme();
}
const list = document.getElementById("builds");
if (list) followList(list);
const live = document.getElementById("live");
if (live) followBuild(live);
tellTimes();
setInterval(tellTimes, 1000);
