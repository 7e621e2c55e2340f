// The data stand in one element, as JSON, compressed; nothing is ever fetched. All files of this folder share one scope.
const data = JSON.parse(await unfolded(document.getElementById("trail-data").textContent));
const pooled = (place) => (place === null || place === undefined ? null : data.pool[place]);
const byId = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const still = matchMedia("(prefers-reduced-motion: reduce)");

// Text only ever enters the page through textContent: what a model wrote can never become markup.
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "circle", "line", "rect", "text", "title"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined).map((child) => (child.nodeType ? child : String(child))));
  return node;
}

// Numbers come rounded: values as the page prints them, samples as they were packed.
function show(number) {
  if (number === null || number === undefined) return "–";
  return typeof number === "number" ? number.toLocaleString("en", { maximumFractionDigits: 12 }) : String(number);
}

function unpack(id) {
  const packed = data.values[id];
  if (!packed) return null;
  return { unit: "", ...packed, id, rule: pooled(packed.rule), command: pooled(packed.command), description: pooled(packed.description),
    sources: pooled(packed.source) || [], records: packed.records.map(pooled) };
}

const headline = (entry) => (entry.text === undefined ? "–" : `${entry.text}${["×", "%", ""].includes(entry.unit) ? "" : " "}${entry.unit}`);
const ends = (entry) => (entry.low === undefined ? "" : `95 % interval ${entry.low} to ${entry.high}`);
const sized = (entry) => (entry.n === undefined ? "" : `n = ${show(entry.n)}`);

// `table/row/column` -> `table/row`: numbers with the same row belong to one cell, pair or model.
const rowOf = (id) => id.slice(0, id.lastIndexOf("/"));
const columnOf = (id) => id.slice(id.lastIndexOf("/") + 1).replaceAll("_", " ");
const rows = new Map();
for (const id of Object.keys(data.values)) {
  if (!rows.has(rowOf(id))) rows.set(rowOf(id), []);
  rows.get(rowOf(id)).push(id);
}

// What is said here is read aloud, and shown nowhere.
function announce(words) {
  byId("status").textContent = words;
}

async function unfolded(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}
