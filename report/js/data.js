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

function show(number, digits = 4) {
  if (number === null || number === undefined) return "–";
  if (typeof number !== "number") return String(number);
  if (Number.isInteger(number)) return number.toLocaleString("en");
  const size = Math.floor(Math.log10(Math.abs(number)));
  const places = Math.min(Math.max(digits - 1 - size, 0), 12);
  return number.toLocaleString("en", { minimumFractionDigits: 0, maximumFractionDigits: places });
}

function unpack(id) {
  const packed = data.values[id];
  if (!packed) return null;
  const [value, unit, n, low, high, rule, command, sources, records, description, text] = packed;
  return { id, value, unit: pooled(unit) || "", n, low, high, rule: pooled(rule), command: pooled(command),
    sources: pooled(sources) || [], records: records.map(pooled), description: pooled(description), text: text || null };
}

const unitOf = (entry) => (entry.value === 1 && ["steps", "tokens", "prompts", "samples", "cells", "pairs", "texts"].includes(entry.unit) ? entry.unit.slice(0, -1) : entry.unit === "passes" && entry.value === 1 ? "pass" : entry.unit);
const headline = (entry) => `${entry.text || show(entry.value)}${entry.unit === "×" ? "" : " "}${unitOf(entry)}`.trim();

function sentence(entry) {
  const parts = [headline(entry)];
  if (entry.low !== null && entry.high !== null) parts.push(`[${show(entry.low)}, ${show(entry.high)}]`);
  if (entry.n !== null && entry.n !== undefined) parts.push(`n = ${entry.n}`);
  return parts.join("  ");
}


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
