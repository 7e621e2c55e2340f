// Marks of figures: near the pointer or under the keyboard they tell their value; pressed, they open its trail.
// A figure is one stop of the Tab key; arrow keys go from mark to mark.
const REACH = 18;
const tip = byId("tip");
let hot = null;

function say(mark, x, y) {
  const entry = unpack(mark.dataset.v);
  if (!entry) return hush();
  const where = entry.id.split("/").slice(1, -1).join(" · ");
  tip.replaceChildren(make("b", {}, headline(entry)), " ", columnOf(entry.id), make("small", {}, [ends(entry), sized(entry)].filter(Boolean).join(" · ")), make("small", {}, where));
  tip.hidden = false;
  const below = y + 18 + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(8, Math.min(x + 12, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${below ? y + 16 : Math.max(8, y - tip.offsetHeight - 12)}px`;
  if (hot === mark) return;
  cool();
  hot = mark;
  mark.classList.add("hot");
  for (const other of kin.get(rowOf(mark.dataset.v)) || []) if (other !== mark) other.classList.add("kin");
}

function cool() {
  if (!hot) return;
  hot.classList.remove("hot");
  for (const other of kin.get(rowOf(hot.dataset.v)) || []) other.classList.remove("kin");
  hot = null;
}

function hush() {
  cool();
  tip.hidden = true;
}

// The same row drawn twice, in one figure or in two, lights up together.
const kin = new Map();
for (const mark of all(".mark[data-v]")) kin.set(rowOf(mark.dataset.v), [...(kin.get(rowOf(mark.dataset.v)) || []), mark]);

const boxes = (marks) => marks.map((mark) => ({ mark, box: mark.getBoundingClientRect() }));
const middle = (box) => [box.left + box.width / 2, box.top + box.height / 2];

// The mark under the pointer, else the nearest one: a dot of three points is no target for a finger.
function nearest(svg, event) {
  const direct = event.target.closest(".mark[data-v]");
  if (direct) return direct;
  let found = null, least = REACH;
  for (const { mark, box } of boxes(all(".mark[data-v]", svg))) {
    const dx = Math.max(box.left - event.clientX, 0, event.clientX - box.right);
    const dy = Math.max(box.top - event.clientY, 0, event.clientY - box.bottom);
    const far = Math.hypot(dx, dy);
    if (far < least) [found, least] = [mark, far];
  }
  return found;
}

function step(svg, from, key) {
  const marks = all(".mark[data-v]", svg);
  const place = marks.indexOf(from);
  if (key === "Home") return marks[0];
  if (key === "End") return marks.at(-1);
  if (key === "ArrowRight") return marks[Math.min(place + 1, marks.length - 1)];
  if (key === "ArrowLeft") return marks[Math.max(place - 1, 0)];
  // Up and down go by what is seen: the nearest mark in that direction, off the line counting double.
  const [x, y] = middle(from.getBoundingClientRect());
  const sign = key === "ArrowDown" ? 1 : -1;
  let found = from, least = Infinity;
  for (const { mark, box } of boxes(marks)) {
    const [mx, my] = middle(box);
    const along = (my - y) * sign;
    if (along < 1) continue;
    const far = along + 2 * Math.abs(mx - x);
    if (far < least) [found, least] = [mark, far];
  }
  return found;
}

const KEYS = ["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "Home", "End"];
for (const svg of all("figure svg[data-values]")) {
  const marks = all(".mark[data-v]", svg);
  if (!marks.length) continue;
  const only = (mark) => { for (const other of marks) other.setAttribute("tabindex", other === mark ? "0" : "-1"); };
  only(marks[0]);
  svg.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const mark = nearest(svg, event);
    svg.style.cursor = mark ? "pointer" : "";
    if (mark) say(mark, event.clientX, event.clientY);
    else hush();
  });
  svg.addEventListener("pointerleave", hush);
  svg.addEventListener("click", (event) => {
    const mark = nearest(svg, event);
    if (!mark) return;
    only(mark);
    hush();
    open("value", mark.dataset.v, mark);
  });
  // Beside the drawing, not on it: Chromium gives an SVG that listens for focus a stop of its own.
  const frame = svg.parentElement;
  frame.addEventListener("focusin", (event) => {
    const mark = event.target.closest(".mark[data-v]");
    if (!mark || !mark.matches(":focus-visible")) return;
    const box = mark.getBoundingClientRect();
    only(mark);
    say(mark, box.right, box.bottom);
  });
  frame.addEventListener("focusout", hush);
  frame.addEventListener("keydown", (event) => {
    const mark = event.target.closest(".mark[data-v]");
    if (!mark || event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      hush();
      open("value", mark.dataset.v, mark);
    } else if (KEYS.includes(event.key)) {
      event.preventDefault();
      step(svg, mark, event.key).focus();
    }
  });
}
// What the keyboard chose keeps its words beside it; what the pointer left behind does not.
document.addEventListener("scroll", () => {
  if (!hot) return;
  const box = hot.getBoundingClientRect();
  const seen = box.bottom > 0 && box.top < innerHeight;
  if (hot === document.activeElement && seen) say(hot, box.right, box.bottom);
  else hush();
}, { passive: true });

// Boxes of the workflow's diagram open their stage.
for (const box of all("[data-stage]")) {
  box.addEventListener("click", () => open("stage", box.dataset.stage, box));
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    open("stage", box.dataset.stage, box);
  });
}
