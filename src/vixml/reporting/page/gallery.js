// The gallery: cards are made as they come into reach, and drawn by the browser only where they are seen.
const G = D.gallery;
const PAGE = 20;
const MIME = "data:image/webp;base64,";
const picture = (at, alt, cls) => (at >= 0 ? el("img", { src: MIME + G.pictures[at], alt, class: cls, loading: "lazy", decoding: "async" }) : el("span", { class: `${cls} none`, "aria-hidden": "true" }));
const hits = (top) => top.reduce((sum, pair) => sum + pair[1], 0);
const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : NaN);

G.queries.forEach((query) => {
  const found = query.tops.map(hits);
  // without a picture, or without runs of both kinds, the gain is not a number, and nothing is said of images
  query.gain = !query.pictures.length ? NaN : mean(D.runs.filter((run) => run.images).map((run) => found[run.index])) - mean(D.runs.filter((run) => !run.images).map((run) => found[run.index]));
  query.best = Math.max(0, ...found);
  query.words = [query.text, query.uid, ...query.true.map((label) => G.labels[label].text)].join(" ").toLowerCase();
});

const COMPARED = D.runs.some((run) => run.images) && D.runs.some((run) => !run.images);
const FILTERS = {
  all: ["All", () => true],
  ...(COMPARED && { helped: ["Image helped", (query) => query.gain > 0], hurt: ["Image hurt", (query) => query.gain < 0] }),
  wrong: ["All wrong", (query) => query.best === 0],
};

function prediction([label, hit]) {
  const { text, picture: at } = G.labels[label];
  return el("li", { class: hit ? "hit" : "" }, picture(at, "", "thumb"), el("span", { class: "words" }, text), hit ? el("b", { class: "mark", role: "img", "aria-label": "correct" }, "✓") : null);
}

function card(query) {
  const seen = new Set(query.tops.flat().filter((pair) => pair[1]).map((pair) => pair[0]));
  const more = query.relevant - query.true.length;
  const badge = query.gain > 0 ? el("span", { class: "badge up" }, `image helped ${signed(query.gain)}`) : query.gain < 0 ? el("span", { class: "badge down" }, `image hurt ${signed(query.gain)}`) : null;
  return el("li", { class: "card" },
    el("div", { class: "query" },
      el("div", { class: "pictures" }, query.pictures.length ? query.pictures.map((at, place) => picture(at, `Picture ${place + 1} of the query`, "large")) : el("span", { class: "large none" }, "no picture")),
      el("div", {}, el("h3", {}, query.text || "(no text)"), el("p", { class: "muted" }, el("code", {}, query.uid), " ", badge),
        el("p", { class: "truth" }, el("span", { class: "muted" }, query.relevant === 1 ? "1 relevant label: " : `${query.relevant} relevant labels: `),
          query.true.map((label) => el("span", { class: seen.has(label) ? "chip found" : "chip" }, seen.has(label) ? "✓ " : "", G.labels[label].text)), more > 0 ? el("span", { class: "muted" }, ` and ${more} more`) : null))),
    el("div", { class: "columns" }, D.runs.map((run) => el("div", { class: "column" },
      el("h4", {}, runName(run), el("span", { class: "muted" }, `${hits(query.tops[run.index])} / ${query.tops[run.index].length}`)),
      el("ol", {}, query.tops[run.index].map(prediction))))));
}

function gallery() {
  if (!G.queries.length) return;
  const list = el("ol", { class: "cards", id: "cards" });
  const status = el("p", { class: "muted", role: "status", id: "shown" });
  const button = el("button", { type: "button", class: "more", onclick: () => more() }, "Show more");
  const search = el("input", { type: "search", id: "search", placeholder: "Search text, label or id", "aria-label": "Search the gallery", oninput: () => restart() });
  let filter = "all", chosen = [], made = 0;

  function more() {
    list.append(...chosen.slice(made, made + PAGE).map(card));
    made = Math.min(chosen.length, made + PAGE);
    button.hidden = made >= chosen.length;
  }
  function restart() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    chosen = G.queries.filter((query) => FILTERS[filter][1](query) && words.every((word) => query.words.includes(word)));
    if (filter === "helped" || filter === "hurt") chosen.sort((a, b) => Math.abs(b.gain) - Math.abs(a.gain));
    made = 0;
    list.replaceChildren();
    status.textContent = `${count(chosen.length)} of ${count(G.queries.length)} queries`;
    more();
  }

  const options = Object.entries(FILTERS).map(([key, [name, test]]) => [key, `${name} (${count(G.queries.filter(test).length)})`]);
  section("gallery", "Gallery", `${count(G.queries.length)} test queries, drawn at random, with the first five labels of every run.${COMPARED ? " “Image helped”: runs with images have more hits among them than runs without, on average." : ""}${G.omitted ? ` Pictures left out, for the size limit of the report or because they cannot be read: ${count(G.omitted)}.` : ""}`,
    el("div", { class: "controls sticky" }, radios("Filter", options, filter, (key) => { filter = key; restart(); }), search, status), list, button);
  new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting) && !button.hidden) more(); }, { rootMargin: "1500px" }).observe(button);
  restart();
}

gallery();
document.getElementById("foot").append(el("p", {}, `ViXML ${D.version} · written ${D.created.replace("T", " ").replace("+00:00", " UTC")} · test set ${D.test_set.queries}·${D.test_set.relevance}`));
