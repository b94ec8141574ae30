// Headline, table, intervals, significance, depth curves, slices.
const series = (values) => D.runs.map((run) => ({ label: run.label, color: run.color, dashed: !run.images, ...values(run) }));
const byModel = Object.fromEntries(D.rows.map((row) => [row.model, row]));
const level = `${Number((100 * D.confidence).toFixed(1))}\u00a0%`;

function pairOf(first, second, metric) {
  const pair = D.pairs[metric];
  const at = (key) => 100 * pair[key][first.index][second.index];
  const found = { difference: at("difference"), low: at("low"), high: at("high"), p: pair.p[first.index][second.index] };
  return { ...found, significant: found.low > 0 || found.high < 0 };
}

function headline() {
  const title = el("h1", {}, D.dataset);
  const verdict = el("p", { class: "verdict" });
  const tiles = el("div", { class: "tiles" });
  document.getElementById("main").append(el("section", { class: "hero", "aria-label": "Summary" }, title, verdict, tiles));
  const said = (metric) => [runName(D.runs.find((run) => run.label === D.verdicts[metric].run)), `${D.verdicts[metric].text} `, ...imageGains(metric)];
  onMetric(() => {
    const metric = state.metric, found = D.verdicts[metric], winner = D.runs.find((run) => run.label === found.run);
    verdict.classList.toggle("below", found.state === "below");
    verdict.replaceChildren(...said(metric), ...(found.also ? [el("br"), ...said(found.also)] : []));
    tiles.replaceChildren(...[
      [`best ${metric}`, `${number(byModel[winner.label][metric], 1)} %`], ["compared runs", count(D.runs.length)],
      ["test queries", count(D.test_set.num_queries)], ["labels", count(D.test_set.num_labels)],
    ].map(([name, value]) => el("div", { class: "tile" }, el("b", {}, value), el("span", {}, name))));
  });
}

// Whether two runs differ in what has to do with images, and in nothing else.
function twins(run, other) {
  const S = D.settings;
  return S.names.every((name, at) => /image|fusion|vision/.test(name) || S.values[run.label][at] === S.values[other.label][at]);
}

function imageGains(metric) {
  const twinOf = (run) => D.runs.find((other) => other.variant === run.variant.replace("_vision", "_text") && other !== run && twins(run, other));
  const pairs = D.runs.filter((run) => run.images && twinOf(run)).map((run) => ({ run, twin: twinOf(run), ...pairOf(run, twinOf(run), metric) }));
  if (pairs.length > 2) {
    const gains = pairs.map((pair) => pair.difference);
    return [`Images change ${metric} of the ${count(pairs.length)} pairs of runs by `, el("b", {}, `${signed(Math.min(...gains))} to ${signed(Math.max(...gains))} points`), "."];
  }
  return pairs.flatMap((pair) => {
    const { run, twin } = pair;
    return [`${pair.difference >= 0 ? "Images add" : "Images cost"} `, el("b", {}, `${signed(pair.difference)} points`),
      ` of ${metric} (${signed(pair.low)} to ${signed(pair.high)}${pair.significant ? "" : ", within chance"}) in ${run.label}, compared with ${twin.label}. `];
  });
}

function resultTable() {
  const variants = D.rows.filter((row) => row.kind === "variant");
  const cost = (name) => !name.includes("@");
  const best = Object.fromEntries(D.columns.map((name) => [name, Math.max(...variants.map((row) => row[name] ?? -Infinity))]));
  const rows = D.rows.map((row) => {
    const run = D.runs.find((one) => row.kind === "variant" && one.label === row.model);
    return [run ? runName(run) : el("span", { class: "muted" }, row.model), ...D.columns.map((name) => {
      const interval = run && D.intervals[name] && D.intervals[name][run.label];
      const text = number(row[name]);
      return [run && !cost(name) && row[name] === best[name] ? el("b", { class: "best" }, text) : text,
        interval && el("small", {}, `± ${number(50 * (interval[1] - interval[0]), 1)}`)];
    })];
  });
  section("results", "Results", `Metrics in percent on the test queries; ± is half of the ${level} interval (paired bootstrap over the queries, ${count(D.bootstrap_samples)} samples). Grey rows are baselines.`,
    table(["model", ...D.columns], rows, { class: "numbers", label: "Metrics and cost of every model" }),
    D.missing.length ? el("p", { class: "note" }, `Not evaluated on this test set: ${D.missing.join(", ")}.`) : null,
    regression());
}

function regression() {
  if (!D.regression.checks.length) return null;
  return el("ul", { class: "checks" }, D.regression.checks.map((check) => el("li", { class: check.ok ? "ok" : "bad" },
    `${check.ok ? "✓ no regression" : "✗ regression"}: ${check.run} ${signed(check.change, 2)} points of ${D.regression.metric} against ${check.baseline} (${signed(check.low, 2)} to ${signed(check.high, 2)}; allowed −${D.regression.max_drop})`)));
}

function intervals() {
  const place = el("div"), matrix = el("div");
  section("significance", "Differences", `The interval of each run, and the difference of each pair (row minus column) in points: green or red if its ${level} interval excludes 0. Each pair is judged on its own.`,
    radios("Metric", D.metrics.map((name) => [name, name]), state.metric, setMetric), el("div", { class: D.runs.length > 4 ? "stack" : "two uneven" }, place, matrix));
  onMetric(() => {
    place.replaceChildren(forest());
    matrix.replaceChildren(significance());
  });
}

function forest() {
  const metric = state.metric;
  const rows = [...D.rows.filter((row) => row.kind === "baseline"), ...D.rows.filter((row) => row.kind === "variant")];
  const bounds = (row) => (D.intervals[metric][row.model] || [row[metric] / 100, row[metric] / 100]).map((value) => 100 * value);
  const top = Math.max(...rows.map((row) => bounds(row)[1])) * 1.05 || 1;
  const layout = (width) => {
    const left = Math.min(320, width * 0.4, 12 + Math.max(...rows.map((row) => textWidth(row.model))));
    const names = rows.map((row) => wrappedName(row.model, left - 12));
    const ends = [5];
    names.forEach((lines) => ends.push(ends.at(-1) + 16 + 14 * lines.length));
    return { left, names, ends };
  };
  return chart({ title: `${metric}`, unit: "percent", height: (width) => 29 + layout(width).ends.at(-1), label: `${metric} of every model with its interval` }, (svg, size) => {
    const { left, names, ends } = layout(size.width);
    const x = (value) => left + (value / top) * (size.width - left - 52);
    ticks(0, top, 5).forEach((tick) => svg.append(
      el("svg:line", { class: "grid", x1: x(tick), x2: x(tick), y1: 4, y2: size.height - 24 }),
      el("svg:text", { class: "tick", x: x(tick), y: size.height - 8, "text-anchor": "middle" }, short(tick))));
    rows.forEach((row, at) => {
      const run = D.runs.find((one) => row.kind === "variant" && one.label === row.model);
      const y = (ends[at] + ends[at + 1]) / 2, [low, high] = bounds(row), first = y + 4 - 7 * (names[at].length - 1);
      svg.append(el("svg:text", { class: run ? "axis strong" : "axis", "text-anchor": "end" },
        names[at].map((line, place) => el("svg:tspan", { x: left - 10, y: first + 14 * place }, line))));
      if (run) svg.append(el("svg:line", { class: "whisker", x1: x(low), x2: x(high), y1: y, y2: y, run: run.color }));
      svg.append(el("svg:circle", { class: run && !run.images ? "point hollow" : "point", cx: x(row[metric]), cy: y, r: run ? 5.5 : 4, run: run ? run.color : "var(--faint)" },
        el("svg:title", {}, `${row.model}: ${number(row[metric])} (${number(low)} to ${number(high)})`)),
        el("svg:text", { class: "value", x: x(high) + 10, y: y + 4 }, number(row[metric], 1)));
    });
  });
}

function significance() {
  const cells = D.runs.map((run) => [runName(run), ...D.runs.map((other) => {
    if (run === other) return el("span", { class: "same", "aria-hidden": "true" }, "·");
    const pair = pairOf(run, other, state.metric);
    const kind = pair.significant ? (pair.difference > 0 ? "up" : "down") : "level";
    return el("span", { class: `difference ${kind}`, title: `${pair.significant ? "significant" : "may be chance"}, p = ${pair.p < 0.01 ? pair.p.toFixed(3) : pair.p.toFixed(2)}` },
      el("b", {}, signed(pair.difference)), el("small", {}, `${signed(pair.low)} to ${signed(pair.high)}`));
  })]);
  return el("figure", { class: "chart" }, el("figcaption", {}, `Difference in ${state.metric}`, el("small", {}, " points")),
    table(["", ...D.runs.map((run) => runName(run))], cells, { class: "matrix", label: `Significance of the differences in ${state.metric}` }));
}

function depths() {
  const curve = (name) => lineChart({ title: `${name}@k`, unit: "percent", x: "k", zero: true, xticks: D.depths.k, digits: 1, label: `${name}@k of every run for k from 1 to ${D.depths.k.at(-1)}`,
    series: series((run) => ({ points: D.depths.k.map((k, at) => [k, 100 * D.depths[name][run.label][at]]) })) });
  section("depth", "At every depth", "Precision, and propensity-scored precision, which gives rare labels more weight. Dashed: without images.", legend(D.runs), el("div", { class: "two" }, curve("P"), curve("PSP")));
}

function slices() {
  const S = D.slices, first = Object.values(S.queries)[0];
  const described = (one) => `${count(one.labels)}\u00a0labels, ${count(one.least)}–${count(one.most)}\u00a0points`;
  const groups = barChart({ title: "Recall@10 by label frequency", unit: "percent", groups: S.groups, notes: S.described.map(described),
    series: series((run) => ({ values: S.recall[run.label].map((value) => (value === null ? null : 100 * value)) })) });
  const queries = (title, names, extra = {}) => {
    const shown = names.filter((name) => first[name] && first[name].queries);
    return barChart({ title, unit: "percent", groups: shown, notes: shown.map((name) => `${extra[name] || ""}${count(first[name].queries)}\u00a0${first[name].queries === 1 ? "query" : "queries"}`),
      series: series((run) => ({ values: shown.map((name) => 100 * S.queries[run.label][name].metrics[state.metric]) })) });
  };
  const [short, medium] = S.words;
  const lengths = { "short text": `to\u00a0${short}\u00a0words, `, "medium text": `to ${medium}, `, "long text": "longer, " };
  const images = el("div"), texts = el("div");
  onMetric(() => {
    images.replaceChildren(queries(`${state.metric} by picture of the query`, ["with image", "without image"]));
    texts.replaceChildren(queries(`${state.metric} by length of the text`, Object.keys(lengths), lengths));
  });
  const coverage = barChart({ title: "Labels found at least once in a top 5", unit: "percent of those to be found", groups: [""], series: series((run) => ({ values: [100 * S.coverage[run.label]] })) });
  const never = barChart({ title: "Labels in no top 5 at all", unit: "percent of all labels", groups: [""], series: series((run) => ({ values: [100 * S.never[run.label]] })) });
  section("slices", "Where it works", "Head, torso and tail each hold a third of the training points: few frequent labels, many rare ones. Texts are divided into short, medium and long at the thirds of their lengths.",
    legend(D.runs), el("div", { class: "three" }, groups, images, texts), el("div", { class: "two" }, coverage, never));
}

headline();
resultTable();
intervals();
depths();
slices();
