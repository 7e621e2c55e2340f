// Tables one can sort and search. Without this script they are the same tables in their reading order.
const LONG = 12;

function keyOf(row, column) {
  const cell = row.cells[column];
  const link = cell && cell.querySelector("a[data-v]");
  const value = link && data.values[link.dataset.v] ? data.values[link.dataset.v].value ?? null : null;
  if (typeof value === "number") return value;
  const words = cell ? cell.textContent.trim() : "";
  return words === "–" || words === "" ? null : words;
}

// Numbers by size, words by the alphabet with the numbers in them by size; what is missing comes last both ways.
function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortable(table) {
  const heads = all("thead th", table);
  const bodies = [...table.tBodies].map((part) => ({ part, kept: [...part.rows].filter((row) => row.matches(".group")), rows: [...part.rows].filter((row) => !row.matches(".group")) }));
  if (heads.length < 2 || Math.max(...bodies.map(({ rows: found }) => found.length)) < 2) return;
  heads.forEach((head, column) => {
    const button = make("button", { type: "button", class: "sort" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === null ? "ascending" : now === "ascending" ? "descending" : null;
      for (const other of heads) other.removeAttribute("aria-sort");
      if (next) head.setAttribute("aria-sort", next);
      for (const { part, kept, rows: found } of bodies) {
        const order = next ? [...found].sort((a, b) => compare(keyOf(a, column), keyOf(b, column), next === "ascending" ? 1 : -1)) : found;
        part.append(...kept, ...order);
      }
      announce(next ? `sorted by ${button.textContent.trim()}, ${next}` : "in the order of the paper");
    });
  });
}

function filterable(table, box) {
  const found = all("tbody tr:not(.group)", table);
  if (found.length <= LONG) return;
  box.classList.add("long");
  const count = make("span", { role: "status", "data-source": "count" });
  const input = make("input", { type: "search", placeholder: "Filter rows", "aria-label": "Filter the rows of this table", autocomplete: "off", spellcheck: "false" });
  let tools = box.previousElementSibling;
  if (!tools || !tools.matches(".tools")) {
    tools = make("div", { class: "tools" });
    box.before(tools);
  }
  tools.prepend(input, count);
  // A group's name belongs to each of its rows.
  const texts = found.map((row) => {
    const group = row.parentElement.querySelector(".group");
    return `${group ? group.textContent : ""} ${row.textContent}`.toLowerCase();
  });
  const tell = (left) => (count.textContent = left === found.length ? `${left} rows` : `${left} of ${found.length} rows`);
  tell(found.length);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    found.forEach((row, place) => (row.hidden = !words.every((word) => texts[place].includes(word))));
    for (const part of table.tBodies) {
      const rest = [...part.rows].filter((row) => !row.matches(".group"));
      for (const row of part.rows) if (row.matches(".group")) row.hidden = rest.every((other) => other.hidden);
    }
    tell(found.filter((row) => !row.hidden).length);
  });
}

for (const box of all("main .table:not(.gallery)")) {
  const table = box.querySelector("table");
  if (!table || !table.tHead) continue;
  sortable(table);
  filterable(table, box);
}
