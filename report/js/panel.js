// The panel at the side: the trail of one number, one cell, or one stage of the workflow.
const panel = byId("panel");
const body = byId("panel-body");
const past = [];
let opener = null;
let shown = null;

function strip(groups, unit = " ms") {
  // One row of dots a series, jittered by index so that equal samples stay visible; the bar is the median.
  const all = groups.flatMap((group) => group.samples);
  if (!all.length) return null;
  let [low, high] = [Math.min(...all), Math.max(...all)];
  const [least, most] = [low, high];
  if (low === high) [low, high] = [low * 0.95 - 1e-9, high * 1.05 + 1e-9];
  const x = (value) => 8 + (384 * (value - low)) / (high - low);
  const words = groups.map((group) => `${group.name}: ${group.samples.length} samples from ${show(Math.min(...group.samples))} to ${show(Math.max(...group.samples))}${unit}`);
  const svg = make("svg", { viewBox: `0 0 400 ${groups.length * 46 + 20}`, role: "img", "aria-label": words.join("; ") });
  groups.forEach((group, row) => {
    const top = row * 46 + 14;
    svg.append(make("text", { x: 8, y: top - 3 }, group.name));
    group.samples.forEach((sample, index) => {
      const dot = make("circle", { cx: x(sample).toFixed(1), cy: top + 7 + ((index * 7) % 18), r: 2.6, fill: group.color, "fill-opacity": 0.6 });
      dot.append(make("title", {}, `${show(sample)}${unit}`));
      svg.append(dot);
    });
    const sorted = [...group.samples].sort((a, b) => a - b);
    const half = sorted.length >> 1;
    const median = sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    svg.append(make("line", { x1: x(median), x2: x(median), y1: top + 1, y2: top + 30, stroke: "var(--ink)", "stroke-width": 1.5 }));
  });
  const bottom = groups.length * 46 + 12;
  svg.append(make("text", { x: 8, y: bottom }, `${show(least)}${unit}`));
  const end = make("text", { x: 392, y: bottom, "text-anchor": "end" }, `${show(most)}${unit}`);
  svg.append(end);
  return svg;
}

// Copying works from a file too, where some browsers keep the clipboard shut.
async function copy(words, button) {
  try {
    await navigator.clipboard.writeText(words);
  } catch {
    const area = make("textarea", { "aria-hidden": "true" }, words);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus({ preventScroll: true });
  }
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

function copyButton(words, label) {
  const button = make("button", { type: "button", class: "copy", "aria-label": `Copy ${label}` }, "Copy");
  button.addEventListener("click", () => copy(words, button));
  return button;
}

const commandBox = (command, label) => [make("pre", { tabindex: 0 }, make("code", {}, command)), copyButton(command, `the command: ${label}`)];

const files = (inputs) => make("ul", {}, ...inputs.map((input) => make("li", {}, input.path,
  input.rows && input.rows.length ? ` · row ${input.rows.map((row) => row).join(", ")}` : "",
  input.sha256 ? make("span", { class: "hash" }, `SHA-256 ${input.sha256}`) : null)));

function facts(pairs) {
  const list = make("dl");
  for (const [name, value] of pairs) if (value !== null && value !== undefined && value !== "") list.append(make("dt", {}, name), make("dd", {}, value));
  return list;
}

const flat = (thing) => (thing === null || typeof thing !== "object" ? show(thing) : Object.entries(thing).filter(([, v]) => v !== null && typeof v !== "object").map(([k, v]) => `${k.replaceAll("_", " ")} ${typeof v === "number" ? show(v) : v}`).join(" · "));

function recordPart(path) {
  const record = data.records[path];
  if (!record) return [make("p", { class: "id" }, path)];
  const groups = [{ name: "this cell", samples: record.samples_ms, color: "var(--vermillion)" }, { name: "its reference, same process", samples: record.reference_ms, color: "var(--blue)" }].filter((group) => group.samples.length);
  const scores = record.per_prompt || [];
  const git = pooled(record.git);
  const stop = pooled(record.stop);
  const parts = [make("h3", {}, "Raw samples"), strip(groups) || (scores.length ? strip([{ name: `${record.metric}, prompt by prompt`, samples: scores, color: "var(--vermillion)" }], "") : make("p", {}, "none: the cell did not finish")), files([{ path, sha256: pooled(record.sha256) }])];
  if (stop) parts.push(make("p", {}, `stopped: ${stop.reason}`));
  parts.push(make("h3", {}, "Measured by rule ", pooled(record.rule) || ""), ...(pooled(record.command) ? commandBox(pooled(record.command), "measure") : []));
  parts.push(make("h3", {}, "From"), files(pooled(record.inputs) || []));
  parts.push(make("h3", {}, "Where and when"), facts([["machine", flat(pooled(record.machine))], ["environment", flat(pooled(record.environment))],
    ["commit", git && git.commit ? `${git.commit}${git.dirty ? " (with changes)" : ""}` : null], ["code hash", pooled(record.code_sha256)], ["process", pooled(record.launch)], ["seed", record.seed === null ? null : String(pooled(record.seed))], ["start", pooled(record.start)], ["end", pooled(record.end)]]));
  return parts;
}


// Other numbers of the same row, each a link that opens here.
function relatives(ids, words) {
  if (!ids.length) return [];
  const items = ids.map((id) => make("li", {}, make("a", { class: "v", href: `#${encodeURI(id)}`, "data-v": id }, `${columnOf(id)}: ${headline(unpack(id))}`)));
  const list = make("ul", { class: "relatives" }, ...items);
  return ids.length > 6 ? [make("details", {}, make("summary", {}, words), list)] : [make("h3", {}, words), list];
}

const views = {
  value(id) {
    const entry = unpack(id);
    if (!entry) return null;
    const parts = [make("p", { class: "id" }, entry.id), entry.description && make("p", {}, entry.description), make("p", {}, [ends(entry) || "no interval", sized(entry)].filter(Boolean).join(" · "))];
    if (entry.records.length) parts.push(...recordPart(entry.records[0]));
    if (entry.records.length > 1) {
      const more = make("details", {}, make("summary", {}, `and ${entry.records.length - 1} more records`));
      more.addEventListener("toggle", () => { if (more.open && more.childElementCount === 1) for (const path of entry.records.slice(1)) more.append(...recordPart(path)); });
      parts.push(more);
    }
    parts.push(make("h3", {}, "Published by rule ", entry.rule || ""), ...(entry.command ? commandBox(entry.command, "publish") : []), make("h3", {}, "Table"), files(entry.sources));
    parts.push(make("h3", {}, "In the shell"), ...commandBox(`pardec trace ${entry.id}`, "trace"));
    if (!id.startsWith("finding/")) parts.push(...relatives(rows.get(rowOf(id)).filter((other) => other !== id), "Other numbers of this row"));
    return { title: headline(entry), parts };
  },
  config(key) {
    if (!(key in data.config)) return null;
    return { title: data.config[key], parts: [make("p", { class: "id" }, key), make("p", {}, "A key of the study's configuration, with defaults filled in."), make("h3", {}, "File"), files([{ path: "results/study.json" }])] };
  },
  cell(path) {
    if (!data.records[path]) return null;
    const ids = recordsOf.get(path) || [];
    return { title: cellName(path), small: true, parts: [...recordPart(path), ...relatives(ids, "Numbers of this cell on this page")] };
  },
  stage(rule) {
    const stage = data.stages && data.stages[rule];
    if (!stage) return null;
    const parts = [make("p", {}, stage.after.length ? `Reads what ${stage.after.join(", ")} wrote.` : "Reads nothing that another rule wrote.")];
    if (stage.script) parts.push(make("h3", {}, "Script"), make("p", {}, make("a", { href: `workflow/${stage.script}` }, stage.script)));
    if (stage.jobs.length) {
      const times = strip([{ name: "seconds per job", samples: stage.jobs.map((job) => job[1]), color: "var(--blue)" }], " s");
      const list = make("ol", { class: "jobs" }, ...stage.jobs.map(([path, seconds]) => make("li", {}, path, make("span", { class: "hash" }, `${show(seconds)} s`))));
      parts.push(make("h3", {}, stage.jobs.length === 1 ? "1 job" : `${stage.jobs.length} jobs`), times, stage.jobs.length > 12 ? make("details", {}, make("summary", {}, "All of them, by the file that holds their provenance"), list) : list);
    }
    return { title: rule, small: true, parts };
  },
};

const cellName = (path) => path.replace(/^results\/(cells\/)?/, "").replace(/\/[^/]*\.json$/, "");
const recordsOf = new Map();
for (const id of Object.keys(data.values)) {
  if (id.startsWith("finding/")) continue;
  for (const place of data.values[id].records) recordsOf.set(data.pool[place], [...(recordsOf.get(data.pool[place]) || []), id]);
}

// A page shown inside another one may not change its address.
function address(path) {
  try { history.replaceState(null, "", path); } catch { /* then the address stays */ }
}

function open(kind, id, from) {
  const view = views[kind](id);
  if (!view) return false;
  const inside = from && panel.contains(from);
  if (inside) past.push(shown);
  else {
    past.length = 0;
    if (opener) opener.removeAttribute("aria-expanded");
    opener = from || null;
    if (opener && opener.matches("a.v")) opener.setAttribute("aria-expanded", "true");
  }
  shown = [kind, id];
  draw(view);
  if (kind === "value") address(`#${encodeURI(id)}`);
  return true;
}

function draw(view) {
  byId("panel-title").textContent = view.title;
  byId("panel-title").classList.toggle("small", Boolean(view.small));
  byId("panel-back").hidden = !past.length;
  body.replaceChildren(...view.parts.filter(Boolean));
  panel.classList.add("open");
  panel.setAttribute("aria-hidden", "false");
  panel.inert = false;
  panel.scrollTop = 0;
  byId("panel-title").focus({ preventScroll: true });
}

function back() {
  if (!past.length) return;
  shown = past.pop();
  draw(views[shown[0]](shown[1]));
}

function close() {
  if (!panel.classList.contains("open")) return;
  panel.classList.remove("open");
  panel.setAttribute("aria-hidden", "true");
  panel.inert = true;
  past.length = 0;
  if (opener) {
    opener.removeAttribute("aria-expanded");
    opener.focus({ preventScroll: true });
  }
  opener = shown = null;
  if (location.hash.includes("/")) address(location.pathname + location.search);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-v], a[data-cfg]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  if (link.dataset.v) open("value", link.dataset.v, link);
  else open("config", link.dataset.cfg, link);
});
byId("panel-close").addEventListener("click", close);
byId("panel-back").addEventListener("click", back);
