// Wrong first labels: which true label each takes the place of, and whether a person would mind.
function errors() {
  const of = (run) => D.errors[run.label];
  const known = D.runs.filter((run) => of(run).wrong);
  if (!known.length) return;
  const share = (value) => `${percent(value)} %`;
  const summary = known.map((run) => {
    const found = of(run);
    return [runName(run), count(found.wrong), share(found.wrong / found.queries), share(found.near_text), share(found.together), share(1 - found.near_text - found.together)];
  });
  const place = el("div"), sampled = known.filter((run) => of(run).examined < of(run).wrong);
  const notes = sampled.map((run) => el("p", { class: "note" }, runName(run), ` shares and pairs are of ${count(of(run).examined)} of these queries, spread evenly over all.`));
  const brief = (text) => (text.length > 90 ? `${text.slice(0, 89).trimEnd()}…` : text);
  const verdict = (pair) => (({ near_text: "nearly the same text", together: "usually given together" })[pair.excuse] || "");
  const draw = (run) => place.replaceChildren(table(["ranked first", "instead of", "queries", "similarity of texts", "given together", "why it may be right", "for example"],
    of(run).pairs.map((pair) => [pair.predicted, pair.true, count(pair.count), number(pair.similarity), pair.together === null ? "no training query" : share(pair.together), verdict(pair), el("span", { class: "muted" }, brief(pair.query))]),
    { class: "errors", label: "Most frequent confusions" }));
  section("errors", "Errors", "Queries whose first label is wrong. Each is counted under the true label that the wrong one is closest to: with nearly the same text, or given together with it in at least half of its training queries. In both cases a person might call the answer right, and the labels of the data are worth a look (label audit).",
    table(["model", "first label wrong", "of the queries", "nearly the same text", "usually given together", "otherwise"], summary, { class: "numbers", label: "Wrong first labels of every model" }), notes,
    known.length > 1 ? radios("Errors of", known.map((run) => [run.label, run.label]), known[0].label, (label) => draw(known.find((run) => run.label === label))) : null,
    place);
  draw(known[0]);
}

errors();
