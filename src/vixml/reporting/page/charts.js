// Two charts as SVG: lines over a numeric axis, and bars in groups. Both fill their box and redraw when it changes.
function ticks(low, high, wanted) {
  const span = high - low || 1;
  const power = 10 ** Math.floor(Math.log10(span / wanted));
  const step = power * [1, 2, 5, 10].find((factor) => span / (power * factor) <= wanted);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

function short(value) {
  if (Math.abs(value) >= 10000) return `${Number((value / 1000).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
}

function chart(options, paint) {
  const box = el("div", { class: "plot" });
  const figure = el("figure", { class: "chart" }, el("figcaption", {}, options.title, options.unit && el("small", {}, ` ${options.unit}`)), box);
  let width = 0;
  const draw = () => {
    width = Math.max(260, Math.round(box.clientWidth || 480));
    const size = { width, height: options.height ? options.height(width) : Math.round(Math.min(300, Math.max(190, width * 0.55))), left: 44, right: 12, top: 10, bottom: 34 };
    const svg = el("svg:svg", { viewBox: `0 0 ${size.width} ${size.height}`, role: "img", "aria-label": options.label || options.title });
    box.replaceChildren(svg);
    paint(svg, size, box);
  };
  new ResizeObserver(() => { if (Math.abs(box.clientWidth - width) > 8) draw(); }).observe(box);
  return figure;
}

function yAxis(svg, size, low, high) {
  const y = (value) => size.height - size.bottom - ((value - low) / (high - low || 1)) * (size.height - size.top - size.bottom);
  for (const tick of ticks(low, high, 5)) {
    svg.append(el("svg:line", { class: "grid", x1: size.left, x2: size.width - size.right, y1: y(tick), y2: y(tick) }),
      el("svg:text", { class: "tick", x: size.left - 6, y: y(tick) + 4, "text-anchor": "end" }, short(tick)));
  }
  return y;
}

// series: [{label, color, dashed, points: [[x, y], ...]}]
function lineChart(options) {
  const series = options.series.filter((one) => one.points.length);
  const xs = series.flatMap((one) => one.points.map((point) => point[0]));
  const ys = series.flatMap((one) => one.points.map((point) => point[1]));
  const x0 = Math.min(...xs), x1 = Math.max(...xs);
  const y0 = options.zero ? 0 : Math.min(...ys), y1 = Math.max(...ys, options.zero ? 1e-9 : -Infinity);
  const pad = options.zero ? 0 : (y1 - y0 || Math.abs(y1) || 1) * 0.06;
  return chart(options, (svg, size, box) => {
    const y = yAxis(svg, size, y0 - pad, y1 + (options.zero ? y1 * 0.06 : pad));
    const x = (value) => size.left + ((value - x0) / (x1 - x0 || 1)) * (size.width - size.left - size.right);
    for (const tick of options.xticks || ticks(x0, x1, size.width > 420 ? 7 : 4)) {
      svg.append(el("svg:text", { class: "tick", x: x(tick), y: size.height - 17, "text-anchor": "middle" }, short(tick)));
    }
    svg.append(el("svg:text", { class: "axis", x: (size.left + size.width - size.right) / 2, y: size.height - 2, "text-anchor": "middle" }, options.x));
    for (const one of series) {
      const path = one.points.map(([px, py], at) => `${at ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("");
      svg.append(el("svg:path", { class: `line${one.dashed ? " dashed" : ""}`, d: path, run: one.color }));
      if (one.points.length <= 40) {
        svg.append(...one.points.map(([px, py]) => el("svg:circle", { class: one.dashed ? "dot hollow" : "dot", cx: x(px), cy: y(py), r: 2.8, run: one.color })));
      }
    }
    hover(svg, size, box, series, x, [...new Set(xs)].sort((a, b) => a - b), options);
  });
}

function hover(svg, size, box, series, x, xs, options) {
  const line = el("svg:line", { class: "cross", y1: size.top, y2: size.height - size.bottom, visibility: "hidden" });
  const tip = el("div", { class: "tip", hidden: true });
  svg.append(line);
  box.append(tip);
  svg.addEventListener("pointerleave", () => { tip.hidden = true; line.setAttribute("visibility", "hidden"); });
  svg.addEventListener("pointermove", (event) => {
    const at = ((event.clientX - svg.getBoundingClientRect().left) / svg.getBoundingClientRect().width) * size.width;
    const value = xs.reduce((best, next) => (Math.abs(x(next) - at) < Math.abs(x(best) - at) ? next : best), xs[0]);
    const rows = series.map((one) => [one, one.points.find((point) => point[0] === value)]).filter((pair) => pair[1]);
    line.setAttribute("x1", x(value));
    line.setAttribute("x2", x(value));
    line.setAttribute("visibility", "visible");
    tip.replaceChildren(el("b", {}, `${options.x} ${short(value)}`), ...rows.map(([one, point]) =>
      el("span", { class: "run", run: one.color }, el("i"), `${one.label} `, el("b", {}, number(point[1], options.digits ?? 2)))));
    tip.hidden = false;
    tip.classList.toggle("left", x(value) > size.width / 2);
    tip.style.left = `${(x(value) / size.width) * 100}%`;
  });
}

const pen = document.createElement("canvas").getContext("2d");
pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
const textWidth = (text) => pen.measureText(text).width;

// Pieces in as many lines as the width asks for; each stays whole.
function filled(pieces, width) {
  const lines = [""];
  for (const piece of pieces) {
    const longer = lines.at(-1) + piece;
    if (textWidth(longer.trim()) <= width || !lines.at(-1)) lines[lines.length - 1] = longer;
    else lines.push(piece);
  }
  return lines.map((line) => line.trim());
}

const wrapped = (text, width) => filled(text.split(/(?<= )/), width);

// A name ends its lines behind a space or a mark, and within a word only where the word alone is too long.
function wrappedName(name, width) {
  const parts = name.split(/(?<=[ _./-])/);
  return filled(parts.flatMap((part) => (textWidth(part.trim()) > width ? [...part] : [part])), width);
}

// groups: names; series: [{label, color, dashed, values: [number or null a group]}]
function barChart(options) {
  const top = Math.max(0, ...options.series.flatMap((one) => one.values.filter((value) => value !== null))) || 1;
  return chart(options, (svg, size) => {
    const room = (size.width - size.left - size.right) / options.groups.length;
    const names = options.groups.map((group) => wrapped(group, room));
    const notes = (options.notes || options.groups.map(() => "")).map((note) => wrapped(note, room));
    const most = (texts) => Math.max(...texts.map((lines) => lines.length));
    size.bottom += 13 * (most(names) + most(notes) - 2);
    const y = yAxis(svg, size, 0, top * 1.08);
    const width = Math.min(34, (room * 0.8) / options.series.length);
    options.groups.forEach((group, at) => {
      const middle = size.left + room * (at + 0.5);
      options.series.forEach((one, position) => {
        const value = one.values[at];
        if (value === null || value === undefined) return;
        const left = middle + (position - options.series.length / 2) * width;
        svg.append(el("svg:rect", { class: one.dashed ? "column hollow" : "column", x: left + 1, y: y(value), width: width - 2, height: Math.max(0, y(0) - y(value)), rx: 2, run: one.color },
          el("svg:title", {}, `${group}, ${one.label}: ${number(value, top < 2 ? 3 : 1)}`)));
        if (width >= 22) svg.append(el("svg:text", { class: "value", x: left + width / 2, y: y(value) - 4, "text-anchor": "middle" }, number(value, top < 2 ? 2 : top < 10 ? 1 : 0)));
      });
      names[at].forEach((text, row) => svg.append(el("svg:text", { class: "axis", x: middle, y: size.height - size.bottom + 18 + 13 * row, "text-anchor": "middle" }, text)));
      notes[at].forEach((text, row) => svg.append(el("svg:text", { class: "tick", x: middle, y: size.height - 3 - 13 * (most(notes) - 1 - row), "text-anchor": "middle" }, text)));
    });
  });
}
