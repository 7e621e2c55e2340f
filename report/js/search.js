// One box that finds sections, claims, figures, tables, rules, cells and numbers. The index is built when first asked for.
const finder = byId("search");
const query = byId("search-query");
const list = byId("search-list");
const MOST = 60;
const KINDS = ["section", "claim", "figure", "table", "rule", "cell", "number"];
let index = null;
let hits = [];
let chosen = -1;

// Words are found at their start: "ratio" is in "speed_ratio", and not in "operation".
const plain = (words) => ` ${words.toLowerCase().replace(/[^\p{L}\p{N}.%×-]+/gu, " ")} `;
const brief = (words, most = 150) => (words.length > most ? `${words.slice(0, most - 1).trimEnd()}…` : words);
const tidy = (node) => node.textContent.replace(/\s+/g, " ").trim();

function entry(kind, title, detail, go, id = "") {
  return { kind, id, detail: brief(detail), title, go, name: plain(title), hay: plain(`${title} ${detail}`) };
}

function build() {
  const found = [];
  const to = (node) => () => jump(node);
  for (const head of all("main section h2, main section h3")) {
    const section = head.closest("section");
    found.push(entry("section", tidy(head), head.matches("h3") ? tidy(section.querySelector("h2")) : "", to(head)));
  }
  for (const claim of all("[id^='claim-']")) found.push(entry("claim", claim.id.slice(6), tidy(claim.querySelectorAll("[data-source='claim']")[1] || claim), to(claim)));
  for (const figure of all("main figure[id]")) {
    const caption = figure.querySelector("figcaption");
    found.push(entry("figure", caption.querySelector("b") ? tidy(caption.querySelector("b")) : figure.id, tidy(caption).replace(/ SVG PNG$/, ""), to(figure)));
  }
  for (const caption of all("main caption")) found.push(entry("table", caption.querySelector("b") ? tidy(caption.querySelector("b")) : "Table", tidy(caption), to(caption.closest(".table"))));
  for (const [rule, stage] of Object.entries(data.stages || {})) found.push(entry("rule", rule, stage.script || "", () => open("stage", rule, returnTo)));
  for (const [path, record] of Object.entries(data.records)) {
    if (record.samples_ms.length) found.push(entry("cell", cellName(path), path, () => open("cell", path, returnTo)));
  }
  for (const id of Object.keys(data.values)) {
    const value = unpack(id);
    found.push(entry("number", `${columnOf(id)}: ${headline(value)}`, `${id}${value.description ? `: ${value.description}` : ""}`, () => open("value", id, returnTo), id));
  }
  return found;
}

// What was asked for itself, then titles that start with it, then by how many of its words the title has; then by kind.
function rank(item, asked, words) {
  const whole = plain(asked);
  const fit = item.id === asked || item.name === whole ? 0 : item.name.startsWith(whole.trimEnd()) ? 1 : 2;
  return [fit, words.filter((word) => !item.name.includes(word)).length, KINDS.indexOf(item.kind), item.hay.length];
}

function find(asked) {
  const words = plain(asked).split(" ").filter(Boolean).map((word) => ` ${word}`);
  if (!words.length) return index.filter((item) => item.kind === "section");
  const good = index.filter((item) => words.every((word) => item.hay.includes(word)));
  const keyed = good.map((item) => ({ item, key: rank(item, asked, words) }));
  keyed.sort((a, b) => a.key.reduce((before, part, place) => before || part - b.key[place], 0));
  return keyed.map(({ item }) => item);
}

function refresh() {
  const found = find(query.value.trim().toLowerCase());
  hits = found.slice(0, MOST);
  list.replaceChildren(...hits.map((item, place) => {
    const option = make("li", { role: "option", id: `hit-${place}`, "aria-selected": "false" }, make("span", { class: "kind" }, item.kind), make("b", {}, item.title), item.detail && make("small", {}, item.detail));
    option.addEventListener("click", () => go(place));
    option.addEventListener("pointermove", () => choose(place));
    return option;
  }));
  query.setAttribute("aria-expanded", String(hits.length > 0));
  byId("search-count").textContent = found.length > MOST ? `${MOST} of ${found.length} results` : found.length === 1 ? "1 result" : `${found.length} results`;
  choose(hits.length ? 0 : -1);
  list.scrollTop = 0;
}

function choose(place) {
  list.querySelector("[aria-selected='true']")?.setAttribute("aria-selected", "false");
  chosen = place;
  const option = byId(`hit-${place}`);
  if (!option) return query.removeAttribute("aria-activedescendant");
  option.setAttribute("aria-selected", "true");
  query.setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest" });
}

function go(place) {
  const item = hits[place];
  if (!item) return;
  finder.close();
  item.go();
}

let returnTo = null;
function seek() {
  if (finder.open) return;
  index ||= build();
  returnTo = document.activeElement && document.activeElement !== document.body && !panel.contains(document.activeElement) ? document.activeElement : byId("seek");
  finder.showModal();
  query.select();
  refresh();
}

query.addEventListener("input", refresh);
query.addEventListener("keydown", (event) => {
  const moves = { ArrowDown: chosen + 1, ArrowUp: chosen - 1, PageDown: chosen + 8, PageUp: chosen - 8 };
  if (event.key in moves && hits.length) {
    event.preventDefault();
    const place = moves[event.key];
    const wraps = event.key.startsWith("Arrow");
    choose(wraps ? (place + hits.length) % hits.length : Math.max(0, Math.min(place, hits.length - 1)));
  } else if (event.key === "Enter") {
    event.preventDefault();
    go(chosen);
  }
});
