"use strict";
// Every number of the page opens its trail here. The data stand in one JSON element; nothing is ever fetched.
(() => {
  const data = JSON.parse(document.getElementById("trail-data").textContent);
  const panel = document.getElementById("panel");
  const body = document.getElementById("panel-body");
  const tip = document.getElementById("tip");
  const pooled = (place) => (place === null || place === undefined ? null : data.pool[place]);
  let opener = null;

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

  function strip(groups, unit = " ms") {
    // One row of dots a series, jittered by index so that equal samples stay visible; the bar is the median.
    const all = groups.flatMap((group) => group.samples);
    if (!all.length) return null;
    let [low, high] = [Math.min(...all), Math.max(...all)];
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
    svg.append(make("text", { x: 8, y: bottom }, `${show(low)}${unit}`));
    const end = make("text", { x: 392, y: bottom, "text-anchor": "end" }, `${show(high)}${unit}`);
    svg.append(end);
    return svg;
  }

  function commandBox(command, label) {
    const button = make("button", { type: "button" }, "Copy");
    button.setAttribute("aria-label", `Copy the command: ${label}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(command);
      } catch {
        const area = make("textarea", {}, command);
        document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
      }
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    return [make("pre", { tabindex: 0 }, make("code", {}, command)), button];
  }

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

  function open(id, from) {
    const entry = unpack(id);
    if (!entry) return;
    if (opener) opener.removeAttribute("aria-expanded");
    opener = from || null;
    if (opener && opener.matches("a.v")) opener.setAttribute("aria-expanded", "true");
    const interval = entry.low !== null && entry.high !== null ? `95 % interval ${show(entry.low)} to ${show(entry.high)}` : "no interval";
    const count = entry.n === null || entry.n === undefined ? null : `n = ${show(entry.n)}`;
    document.getElementById("panel-title").textContent = headline(entry);
    body.replaceChildren(make("p", { class: "id" }, entry.id), entry.description ? make("p", {}, entry.description) : "", make("p", {}, [interval, count].filter(Boolean).join(" · ")));
    if (entry.records.length) body.append(...recordPart(entry.records[0]));
    if (entry.records.length > 1) {
      const more = make("details", {}, make("summary", {}, `and ${entry.records.length - 1} more records`));
      more.addEventListener("toggle", () => { if (more.open && more.childElementCount === 1) for (const path of entry.records.slice(1)) more.append(...recordPart(path)); });
      body.append(more);
    }
    body.append(make("h3", {}, "Published by rule ", entry.rule || ""), ...(entry.command ? commandBox(entry.command, "publish") : []), make("h3", {}, "Table"), files(entry.sources));
    panel.classList.add("open");
    panel.setAttribute("aria-hidden", "false");
    panel.inert = false;
    panel.scrollTop = 0;
    document.getElementById("panel-title").focus({ preventScroll: true });
  }

  function close() {
    if (!panel.classList.contains("open")) return;
    panel.classList.remove("open");
    panel.setAttribute("aria-hidden", "true");
    panel.inert = true;
    if (opener) { opener.removeAttribute("aria-expanded"); opener.focus({ preventScroll: true }); }
    opener = null;
    if (location.hash.includes("/")) history.replaceState(null, "", location.pathname + location.search);
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-v]");
    if (!link) return;
    event.preventDefault();
    history.replaceState(null, "", "#" + encodeURI(link.dataset.v));
    open(link.dataset.v, link);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  document.getElementById("panel-close").addEventListener("click", close);

  const hide = () => (tip.hidden = true);
  document.addEventListener("mouseover", (event) => {
    const mark = event.target.closest(".mark[data-v]");
    const entry = mark && unpack(mark.dataset.v);
    if (!entry) return hide();
    tip.textContent = `${entry.id.split("/").slice(1, -1).join(" · ")}: ${sentence(entry)}`;
    tip.hidden = false;
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${event.clientY + 16 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 16}px`;
  });
  document.addEventListener("scroll", hide, { passive: true });

  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // The section in view is marked in the navigation.
  const links = new Map([...document.querySelectorAll("nav ol a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -75% 0px" });
  for (const id of links.keys()) { const target = document.getElementById(id); if (target) seen.observe(target); }

  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => (d.open = true)));
  const wanted = decodeURI(location.hash.slice(1));
  if (wanted.includes("/")) {
    const link = [...document.querySelectorAll("a.v")].find((candidate) => candidate.dataset.v === wanted);
    if (link) link.scrollIntoView({ block: "center" });
    open(wanted, link);
  }
})();
