"use strict";
// All text goes in by textContent: nothing that a file, a label or the server says can become markup.

const byId = (id) => document.getElementById(id);
const state = { models: [], images: [], asked: 0, of: "" };

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function say(message) {
  byId("error").textContent = message;
  byId("error").hidden = !message;
}

function busy(working) {
  byId("go").disabled = working;
  byId("go").textContent = working ? "Looking …" : "Predict";
  byId("answers").classList.toggle("waiting", working);
}

function model() {
  return state.models.find((one) => one.name === byId("model").value);
}

async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const type = response.headers.get("content-type") || "";
  const body = type.includes("json") ? await response.json() : {};
  if (response.ok) return body;
  if (response.status === 413) throw new Error("The images are too large together.");
  const detail = Array.isArray(body.detail) ? body.detail.map((one) => one.msg).join("; ") : body.detail;
  throw new Error(detail || `The server answered with ${response.status}.`);
}

function predict(images, neighbours) {
  return ask("/api/predict", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: model().name, text: byId("text").value, images, k: Number(byId("k").value) || 10, neighbours,
      explain: neighbours > 0 && byId("why").checked,
      min_probability: byId("least").value && !model().no_probabilities ? Number(byId("least").value) / 100 : null,
    }),
  });
}

function blank() {
  const made = element("span", "picture blank", "none");
  made.title = "There is no picture.";
  return made;
}

function picture(side, entry, any) {
  if (!any) return "";  // no row of the list has one
  if (!entry.picture) return blank();
  const image = element("img", "picture");
  image.alt = "";
  image.loading = "lazy";
  image.src = `/api/picture/${encodeURIComponent(model().name)}/${side}/${entry.row}?of=${state.of}`;  // rows of another model are other labels
  image.addEventListener("error", () => image.replaceWith(blank()));
  return image;
}

const PARTS = {
  neighbours: "similar training queries", neighbours_text: "similar texts", neighbours_images: "similar images",
  classifiers: "the label's classifier", label_tree: "the tree of labels", prototypes: "the trained label vector",
  label_texts: "the label's text vector", label_words: "words shared with the label", frequency: "how common the label is",
};

function reasons(why, near, beside) {
  const lines = element("div", "why");
  const parts = Object.entries(why.parts);
  if (parts.length) {
    const bar = element("span", "parts");
    const list = element("span", "legend");
    parts.forEach(([name, share], place) => {
      const piece = element("i", `part part-${place % 6}`);
      piece.style.flexGrow = share;
      bar.append(piece);
      const item = element("span", "", `${PARTS[name] || name} ${(100 * share).toFixed(0)} %`);
      item.prepend(element("i", `part part-${place % 6}`));
      list.append(item);
    });
    lines.append(bar, list);
  }
  const notes = [];
  if (near) notes.push(`${why.neighbours} of the ${near} nearest training queries have it`);
  if (beside) notes.push(why.place_without_image ? `rank ${why.place_without_image} without the image` : "not among the first 100 without the image");
  if (notes.length) lines.append(element("small", "", notes.join(" · ")));
  return lines;
}

function labelRow(entry, low, high, any, near, beside) {
  const row = element("li");
  const what = element("span", "what", entry.text);
  if (entry.label_id !== entry.text) what.append(element("small", "", entry.label_id)); // a tag is its own id
  const known = Number.isFinite(entry.probability);
  const score = element("span", "score", known ? `${(100 * entry.probability).toFixed(0)} %` : entry.score.toFixed(4));
  if (known) score.title = `probability; the score is ${entry.score.toFixed(4)}`;
  const meter = element("meter");
  meter.min = 0;
  meter.max = 1;
  meter.value = known ? entry.probability : high > low ? 0.08 + 0.92 * (entry.score - low) / (high - low) : 1;
  score.append(meter);
  row.append(element("span", "rank", entry.rank), picture("label", entry, any), what, score);
  if (entry.why) row.append(reasons(entry.why, near, beside));
  return row;
}

function showLabels(id, labels, title, [low, high], near = 0, beside = false) {
  byId(id).hidden = false;
  byId(id).querySelector("h2").textContent = title;
  const any = labels.some((entry) => entry.picture);
  const rows = labels.map((entry) => labelRow(entry, low, high, any, near, beside));
  byId(id).querySelector("ol").replaceChildren(...(rows.length ? rows : [element("li", "note", "No label is that likely.")]));
}

function meaningOf(labels) {
  return labels.some((entry) => Number.isFinite(entry.probability))
    ? "The number beside a label is the probability that it is right, calibrated on validation queries."
    : "The number beside a label is its score. It puts the labels of one query in order and is not a probability; the bar compares it with the other labels shown.";
}

function showNeighbours(neighbours) {
  byId("near").hidden = !neighbours.length;
  const any = neighbours.some((entry) => entry.picture);
  byId("near").querySelector("ul").replaceChildren(...neighbours.map((entry) => {
    const row = element("li");
    const what = element("span", "what", entry.text);
    what.append(element("small", "", "→ " + entry.labels.join(" · ")));
    row.append(picture("train", entry, any), what, element("span", "score", entry.similarity.toFixed(4)));
    return row;
  }));
}

async function submit(event) {
  event.preventDefault();
  say("");
  const text = byId("text").value.trim();
  const images = state.images.map((one) => one.data);
  if (!text && !images.length) return say("Type a text or add an image.");
  const asked = ++state.asked;
  busy(true);
  try {
    const seen = images.length > 0 && model().uses_images;
    const beside = seen && text;
    const [first, second] = await Promise.all([predict(images, 5), beside ? predict([], 0) : null]);
    if (asked !== state.asked) return;
    state.of = first.fingerprint;
    // One scale for both lists, so that bars can be compared; but a prior lifts the scores of the list without an image.
    const lists = [first.labels, second ? second.labels : []];
    const [scale, other] = model().prior ? lists.map((list) => scaleOf(list)) : Array(2).fill(scaleOf(lists.flat()));
    byId("meaning").textContent = meaningOf(first.labels);
    showLabels("with", first.labels, seen ? (text ? "Text + image" : "Image only") : "Text only", scale, first.neighbours.length, beside);
    byId("without").hidden = !beside;
    if (beside) showLabels("without", second.labels, "Text only", other);
    showNeighbours(first.neighbours);
    byId("answers").hidden = false;
    if (first.notice) say(first.notice);
    if (images.length && !seen) say("This model reads text only: the image was not looked at.");
  } catch (error) {
    if (asked !== state.asked) return;
    byId("answers").hidden = true;
    say(error.message);
  } finally {
    if (asked === state.asked) busy(false);
  }
}

function read(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${file.name} cannot be read.`));
    reader.readAsDataURL(file);
  });
}

async function add(files) {
  say("");
  for (const file of files) {
    const { max_images: most, max_image_bytes: limit } = state.models[0];
    if (state.images.length >= most) return say(`At most ${most} images.`);
    if (file.type && !file.type.startsWith("image/")) { say(`${file.name} is not an image.`); continue; }
    if (file.size > limit) { say(`${file.name} is larger than ${Math.round(limit / 1048576)} MB.`); continue; }
    const preview = element("img", "picture");
    preview.alt = file.name;
    preview.src = URL.createObjectURL(file);
    state.images.push({ data: await read(file), preview });
    byId("previews").append(preview);
  }
  byId("hint").textContent = state.images.length ? "Add another, or press Clear" : "Drop an image here, or choose one";
}

function scaleOf(labels) {
  const scores = labels.map((entry) => entry.score);
  return [Math.min(...scores), Math.max(...scores)];
}

function clear() {
  state.asked++;
  state.images.forEach((one) => URL.revokeObjectURL(one.preview.src));
  state.images = [];
  byId("previews").replaceChildren();
  byId("query").reset();
  byId("answers").hidden = true;
  byId("hint").textContent = "Drop an image here, or choose one";
  busy(false);
  say("");
}

function about() {
  const { dataset, labels, uses_images: images } = model();
  byId("likely").hidden = Boolean(model().no_probabilities);
  byId("unlikely").hidden = !model().no_probabilities;
  byId("unlikely").textContent = model().no_probabilities || "";
  byId("about").textContent = `${dataset} · ${labels.toLocaleString("en")} labels · ${images ? "text and images" : "text only"}`;
}

async function start() {
  byId("query").addEventListener("submit", submit);
  byId("clear").addEventListener("click", clear);
  byId("model").addEventListener("change", about);
  byId("why").addEventListener("change", (event) => { if (!byId("answers").hidden) submit(event); });
  byId("file").addEventListener("change", async (event) => { await add([...event.target.files]); event.target.value = ""; });
  const drop = byId("drop");
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); add([...event.dataTransfer.files]); });
  try {
    state.models = await ask("/api/models");
  } catch (error) {
    return say(error.message);
  }
  byId("model").replaceChildren(...state.models.map((one) => new Option(one.name, one.name)));
  about();
}

start();
