// How far probabilities hold on the test queries: reliability, coverage against precision, precisions that are kept.
function probabilities() {
  const of = (run) => D.probabilities[run.label];
  const known = D.runs.filter((run) => of(run) && !of(run).absent), absent = D.runs.filter((run) => of(run) && of(run).absent);
  if (!known.length && !absent.length) return;
  const notes = absent.map((run) => el("p", { class: "note" }, runName(run), ` ${of(run).absent}`));
  if (!known.length) { section("probabilities", "Probabilities", null, notes); return; }
  const shown = { run: known[0], group: "all" };
  const place = el("div"), kept = el("div");
  const draw = () => {
    place.replaceChildren(el("div", { class: "two" }, reliability(known, of, shown), coverage(of(shown.run))));
    kept.replaceChildren(...keptTable(of(shown.run)));
  };
  const first = of(known[0]);
  const depths = Object.keys(first.errors).sort((a, b) => a.slice(1) - b.slice(1));  // a file has its keys in the order of the alphabet
  const errors = (run) => depths.map((depth) => of(run).errors[depth] || {}).flatMap((one) => [number(one.equal_width, 4), number(one.by_chance, 4)]);
  const rows = known.map((run) => [runName(run), ...errors(run)]);
  section("probabilities", "Probabilities",
    `Fitted on the validation queries, measured here on the test queries. Expected calibration error: the mean distance of probability and precision over ${first.bins} bins of equal width, over the first labels of each query; beside it the error that chance alone would cause with so many pairs if every probability were exactly right.`,
    notes,
    table(["model", ...depths.flatMap((name) => [`${name}, error`, "by chance"])], rows, { class: "numbers", label: "Expected calibration error of every model" }),
    known.length > 1 ? radios("Model", known.map((run) => [run.label, run.label]), shown.run.label, (label) => { shown.run = known.find((run) => run.label === label); draw(); }) : null,
    radios("Labels", ["all", ...D.slices.groups].map((name) => [name, name]), "all", (name) => { shown.group = name; draw(); }),
    place, kept);
  draw();
}

function reliability(known, of, shown) {
  const lines = known.map((run) => ({ label: run.label, color: run.color, dashed: !run.images, points: (of(run).reliability[shown.group] || []).map(([probability, precision]) => [probability, precision]) }));
  return lineChart({ title: `Reliability, ${shown.group === "all" ? "all labels" : `${shown.group} labels`}`, unit: `precision at a probability, first ${of(shown.run).drawn} labels`, x: "probability", zero: true,
    series: [{ label: "as it should be", color: "var(--faint)", dashed: true, points: [[0, 0], [1, 1]] }, ...lines] });
}

function coverage(found) {
  const order = ["all", ...D.slices.groups, "with image", "without image", "short text", "medium text", "long text"];
  const sure = (points) => points.some((one) => one.high - one.low < 0.3);  // a curve over a handful of queries says nothing
  const names = order.filter((name) => found.coverage[name] && sure(found.coverage[name]));
  const lines = names.map((name, at) => ({ label: name, color: name === "all" ? "var(--ink)" : `var(--c${at % 12})`, points: found.coverage[name].map((one) => [one.recall, one.precision]).sort((a, b) => a[0] - b[0]) }));
  const figure = lineChart({ title: "Coverage against precision", unit: "share of the true pairs that a threshold gives", x: "coverage", zero: true, series: lines });
  figure.append(legend(lines));
  return figure;
}

function keptTable(found) {
  const share = (value) => `${percent(value)} %`;
  const interval = (one) => `${share(one.precision)} (${share(one.low)} to ${share(one.high)})`;
  const missing = found.kept.filter((one) => !one.validation);
  const rows = found.kept.filter((one) => one.validation).map((one) => {
    const test = one.test;
    return [share(one.target), number(one.validation.probability, 3), interval(one.validation), test ? interval(test) : "no such pair",
      ...(test ? [share(test.answered), number(test.labels_per_query, 2), share(test.recall)] : ["", "", ""])];
  });
  const notes = missing.map((one) => el("p", { class: "note" }, `${share(one.target)}: ${one.reason}`));
  return [table(["precision at least", "threshold", "on validation", "on test", "queries answered", "labels a query", "true pairs given"], rows, { class: "numbers", label: "Thresholds that keep a precision" }), ...notes];
}

probabilities();
