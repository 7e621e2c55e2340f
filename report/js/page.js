// The page itself: where one is, keys, dialogs, copying, the theme, print.
document.documentElement.classList.add("js");

// Bring a place into view, whatever fold it lies in, and put the reading position there.
function jump(node) {
  for (let fold = node.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  if (node.tabIndex < 0 && !node.hasAttribute("tabindex")) node.setAttribute("tabindex", "-1");
  const top = node.matches("h2, h3") || node.offsetHeight > innerHeight / 2;
  node.scrollIntoView({ block: top ? "start" : "center", behavior: still.matches ? "auto" : "smooth" });
  node.focus({ preventScroll: true });
  node.classList.add("found");
  setTimeout(() => node.classList.remove("found"), 1800);
}

// The section in view is marked in the navigation, and named where the navigation is folded.
const links = new Map(all("nav ol a").map((link) => [link.hash.slice(1), link]));
const sections = [...links.keys()].map(byId).filter(Boolean);
const menu = byId("menu");
let current = null;

function locate() {
  // Just below where a heading comes to stand, so that a short section counts too.
  const line = Math.max(innerHeight * 0.1, 80);
  const end = scrollY + innerHeight > document.documentElement.scrollHeight - 4;
  const here = end ? sections.at(-1) : sections.filter((section) => section.getBoundingClientRect().top <= line).at(-1) || sections[0];
  if (!here || here === current) return;
  current = here;
  for (const link of links.values()) link.removeAttribute("aria-current");
  const link = links.get(here.id);
  link.setAttribute("aria-current", "true");
  byId("menu-here").textContent = link.textContent;
  // Only the list scrolls, never the page.
  const nav = link.closest("nav");
  if (nav.scrollHeight > nav.clientHeight) nav.scrollTop = link.offsetTop - nav.clientHeight / 2;
}
let waiting = false;
const later = () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; locate(); });
};
addEventListener("scroll", later, { passive: true });
addEventListener("resize", later, { passive: true });
locate();

function fold(open) {
  menu.setAttribute("aria-expanded", String(open));
  byId("toc").classList.toggle("open", open);
}
menu.addEventListener("click", () => fold(menu.getAttribute("aria-expanded") !== "true"));
byId("toc").addEventListener("click", (event) => { if (event.target.closest("a")) fold(false); });

function turn(by) {
  const place = sections.indexOf(current) + by;
  const target = sections[Math.max(0, Math.min(place, sections.length - 1))];
  jump(target.querySelector("h2"));
  announce(tidy(target.querySelector("h2")));
}

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}
byId("theme").addEventListener("click", theme);
byId("seek").addEventListener("click", seek);

const help = byId("help");
const keysOn = byId("keys-on");
const ask = () => { if (!help.open) help.showModal(); };
byId("ask").addEventListener("click", ask);
for (const dialog of [finder, help]) {
  // A click beside a dialog closes it.
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  all(".shut", dialog).forEach((button) => button.addEventListener("click", () => dialog.close()));
}

// Single keys can be switched off, for those who speak to their computer; the choice is kept where the browser lets it.
const KEPT = "pardec-keys";
try { keysOn.checked = localStorage.getItem(KEPT) !== "off"; } catch { /* a page from a file may have no storage */ }
keysOn.addEventListener("change", () => {
  try { localStorage.setItem(KEPT, keysOn.checked ? "on" : "off"); } catch { /* then it holds for this visit */ }
});

const single = { "/": seek, "?": ask, t: theme, n: () => turn(1), p: () => turn(-1) };
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !finder.open && !help.open) return close();
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    return seek();
  }
  const writing = event.target.closest("input, textarea, select, [contenteditable]");
  if (writing || event.ctrlKey || event.metaKey || event.altKey || finder.open || help.open || !keysOn.checked) return;
  if (single[event.key]) {
    event.preventDefault();
    single[event.key]();
  }
});

// Every command of the text can be copied.
for (const block of all("main pre:has(> code)")) {
  const frame = make("div", { class: "command" });
  block.replaceWith(frame);
  frame.append(block, copyButton(block.textContent.trim(), "this command"));
  block.setAttribute("tabindex", "0");
}

// A drawing wider than the screen shows its middle first.
for (const plot of all(".diagram")) plot.scrollLeft = (plot.scrollWidth - plot.clientWidth) / 2;

// On paper nothing opens: folds are laid open, and the ids behind the numbers of the text are listed at the end.
const opened = [];
addEventListener("beforeprint", () => {
  for (const node of all("details")) if (!node.open) { node.open = true; opened.push(node); }
  const ids = [...new Set(all("main :is(p, li, dd) a[data-v]").map((link) => link.dataset.v))];
  byId("print-ids").replaceChildren(...ids.map((id) => make("li", {}, make("b", {}, headline(unpack(id))), " ", make("code", {}, id))));
});
addEventListener("afterprint", () => { for (const node of opened.splice(0)) node.open = false; });

function follow() {
  const wanted = decodeURI(location.hash.slice(1));
  if (wanted.includes("/")) {
    const link = all("a.v").find((candidate) => candidate.dataset.v === wanted);
    if (link) jump(link);
    open("value", wanted, link);
  } else if (wanted && byId(wanted) && byId(wanted).closest("details")) jump(byId(wanted));
}
addEventListener("hashchange", follow);
follow();
