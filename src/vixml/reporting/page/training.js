// Learning curves, hard negatives, settings, data.
function course() {
  const names = [...new Set(D.runs.flatMap((run) => Object.keys(run.curve)))];
  if (!names.length) return;
  const metrics = names.filter((name) => name.startsWith("validation/"));
  const preferred = metrics.filter((name) => ["P@1", "P@5", "PSP@5"].includes(name.slice(11)));
  const shown = ["loss", ...(preferred.length ? preferred : metrics).slice(0, 1)].filter((name) => names.includes(name));
  const line = (name) => lineChart({ title: name.replace("validation/", "validation "), x: "step", digits: 4, zero: name.includes("@"),
    series: series((run) => ({ points: run.curve[name] || [] })) });
  const more = el("div");
  const rest = names.filter((name) => !shown.includes(name));
  const choice = el("select", { id: "series", onchange: () => more.replaceChildren(line(choice.value)) }, rest.map((name) => el("option", { value: name }, name.replace("validation/", "validation "))));
  section("training", "Training", "Loss and validation over the optimiser's steps; any other recorded series on request.", legend(D.runs),
    el("div", { class: "two" }, shown.map(line)),
    rest.length ? el("p", { class: "controls" }, el("label", { for: "series" }, "Another series "), choice) : null, more);
  if (rest.length) more.append(line(choice.value));
}

const REFRESH = {
  violation_rate: "queries whose hardest negative wins", hardest_negative_similarity: "similarity to the hardest negative", positive_similarity: "similarity to relevant labels",
  negative_similarity: "similarity to mined labels", negatives_changed: "mined labels that are new", near_duplicates: "near-duplicates left out", cluster_purity: "neighbours with a common label",
  neighbours_changed: "neighbours that were apart before", cluster_cohesion: "cohesion of clusters", clusters: "clusters", cluster_size: "queries a cluster", seconds: "seconds",
};
const SHARES = ["violation_rate", "negatives_changed", "near_duplicates", "cluster_purity", "neighbours_changed"];

function negatives() {
  const runs = D.runs.filter((run) => run.refreshes.length);
  const keys = Object.keys(REFRESH).filter((key) => runs.some((run) => run.refreshes.some((record) => typeof record[key] === "number")));
  if (!keys.length) return;
  const values = (run, key) => run.refreshes.filter((record) => typeof record[key] === "number").map((record) => [record.epoch ?? 0, record[key] * (SHARES.includes(key) ? 100 : 1)]);
  const line = (key) => lineChart({ title: REFRESH[key], unit: SHARES.includes(key) ? "percent" : "", x: "epoch", digits: SHARES.includes(key) ? 1 : 3, zero: SHARES.includes(key),
    series: runs.map((run) => ({ label: run.label, color: run.color, dashed: !run.images, points: values(run, key) })) });
  const rest = keys.slice(2), more = el("div");
  const choice = el("select", { id: "statistic", onchange: () => more.replaceChildren(line(choice.value)) }, rest.map((key) => el("option", { value: key }, REFRESH[key])));
  const written = (key, value) => (SHARES.includes(key) ? `${number(value, 1)} %` : short(value));
  const cell = (run, key) => {
    const points = values(run, key);
    return points.length ? [points[0], ...(points.length > 1 ? [points.at(-1)] : [])].map((point) => written(key, point[1])).join(" → ") : "—";
  };
  section("negatives", "Hard negatives", "Every refresh: how close the mined labels come to the relevant ones, and what the clusters that batches are cut from look like. The first one, after the warm-up, embeds all queries again; later ones reuse the last embedding of each query.",
    legend(runs), el("div", { class: "two" }, keys.slice(0, 2).map(line)),
    rest.length ? el("p", { class: "controls" }, el("label", { for: "statistic" }, "Another statistic "), choice) : null, more,
    el("details", {}, el("summary", {}, "All statistics, first → last refresh"), table(["statistic", ...runs.map(runName)],
      keys.map((key) => [REFRESH[key], ...runs.map((run) => cell(run, key))]), { class: "numbers", label: "Statistics of the first and the last refresh" })));
  if (rest.length) more.append(line(choice.value));
}

function settings() {
  const S = D.settings;
  const parts = (name) => name.split(/(?<=[._])/).flatMap((part) => [part, el("wbr")]);  // a line ends behind a dot, not within a word
  const rows = S.names.map((name, at) => [el("code", {}, parts(name)), ...D.runs.map((run) => S.values[run.label][at] ?? "—")]);
  section("settings", "Settings that differ", `${count(S.same)} further settings are the same in all runs.`,
    rows.length ? table(["setting", ...D.runs.map(runName)], rows, { class: "texts", label: "Settings that differ between the runs" }) : el("p", {}, "The runs have the same settings."),
    el("details", {}, el("summary", {}, "The compared runs"), table(["run", "id", "name", "MLflow run", "commit", "evaluated"],
      D.runs.map((run) => [runName(run), el("code", {}, run.id), run.name || "—", el("code", {}, run.mlflow_id || "—"), el("code", {}, run.git_commit.slice(0, 10) || "—"), run.created.replace("T", " ").replace("+00:00", " UTC")]), { class: "texts", label: "Identity of the runs" })));
}

function dataReport() {
  if (!D.data) return;
  const sides = Object.entries(D.data.sides);
  const head = ["part", "items", "words (mean, 95 %)", "with image", "images", "labels each", "without labels"];
  const rows = sides.map(([side, facts]) => [side, count(facts.items), `${number(facts.words.mean, 1)}, ${number(facts.words.p95, 0)}`, `${percent(facts.with_image_share)} %`, count(facts.unique_image_files),
    D.data.labels_per_point[side] ? number(D.data.labels_per_point[side].mean, 1) : "", D.data.points_without_labels[side] ?? ""]);
  const tail = D.data.head_and_tail;
  const repairs = Object.entries(D.data.repairs || {}).filter(([, times]) => times);
  section("data", "Data", `${percent(tail.tail_share_of_labels)} % of the labels have ${tail.tail_points} training points or fewer; the most frequent 10 % hold ${percent(tail.top_10_percent_share_of_pairs)} % of all training pairs; ${count(tail.labels_without_training_point)} labels have none.`,
    table(head, rows, { class: "numbers", label: "What was ingested" }),
    repairs.length ? el("p", { class: "note" }, `Repaired or left out at ingestion: ${repairs.map(([name, times]) => `${name} ${count(times)}`).join(", ")}.`) : null,
    D.ledger.length ? el("details", { id: "ledger" }, el("summary", {}, "The raw files: content, what was taken, what was guessed"),
      table(["file", "what", "changed by"], D.ledger, { class: "texts", label: "Ledger of the raw files" })) : null);
}

course();
negatives();
settings();
dataReport();
