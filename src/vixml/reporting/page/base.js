"use strict";
// Helpers that all parts share. Text reaches the page through text nodes only.
const D = JSON.parse(document.getElementById("payload").textContent);
const SVG = "http://www.w3.org/2000/svg";

function el(tag, attributes, ...children) {
  const node = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "run") node.style.setProperty("--run", value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const number = (value, digits = 2) => (value === null || value === undefined ? "" : value.toFixed(digits));
const signed = (value, digits = 1) => (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(digits);
const count = (value) => Number(value).toLocaleString("en-US");
const percent = (value, digits = 1) => (100 * value).toFixed(digits);

// One colour a run: a pair with and without images shares a hue, the encoder's is always the same; others take what is left.
const COLORS = 12, taken = new Set();
const hueOf = (run) => run.variant.replace(/_(text|vision)(?=_|$)/, "");
const hues = [...new Set(["encoder", "decoder", ...D.runs.map(hueOf)])].filter((name) => D.runs.some((run) => hueOf(run) === name));
D.runs.forEach((run, index) => {
  let place = (2 * hues.indexOf(hueOf(run)) + (run.images ? 1 : 0)) % COLORS;
  for (let other = COLORS - 1; taken.has(place) && other >= 0; other -= 1) if (!taken.has(other)) place = other;
  taken.add(place);
  run.color = `var(--c${place})`;
  run.index = index;
});

// The metric that the results are about; parts that depend on it redraw themselves.
const state = { metric: D.metric, listeners: [] };
function onMetric(draw) {
  state.listeners.push(draw);
  draw();
}
function setMetric(metric) {
  state.metric = metric;
  state.listeners.forEach((draw) => draw());
}

function section(id, title, intro, ...children) {
  const part = el("section", { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, title), intro && el("p", { class: "intro" }, intro), children);
  document.getElementById("main").append(part);
  document.getElementById("toc").append(el("li", {}, el("a", { href: `#${id}` }, title)));
  return part;
}

function radios(name, options, value, change) {
  return el("div", { class: "pills", role: "radiogroup", "aria-label": name },
    options.map(([key, label]) => el("label", {},
      el("input", { type: "radio", name, value: key, checked: key === value, onchange: () => change(key) }),
      el("span", {}, label))));
}

function table(head, rows, options = {}) {
  const cell = (tag, value, first) => el(tag, { scope: tag === "th" ? (first ? "row" : "col") : null }, value);
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": options.label || "Table" },
    el("table", { class: options.class || "" },
      el("thead", {}, el("tr", {}, head.map((value) => cell("th", value)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((value, at) => cell(at ? "td" : "th", value, true)))))));
}

function runName(run) {
  return el("span", { class: "run", run: run.color }, el("i", { "aria-hidden": "true" }), el("span", { class: "name", title: run.label }, run.label, run.untrained && !run.label.includes("untrained") ? el("small", {}, " untrained") : null));
}

function legend(runs) {
  return el("p", { class: "legend" }, runs.map(runName));
}

(function theme() {
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  document.getElementById("theme").addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; });
})();
