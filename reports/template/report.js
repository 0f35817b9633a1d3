"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const kept = {
  get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* a file may have no storage */ } },
};

// The theme that was chosen last; without a choice the system's.
const root = document.documentElement;
const theme = document.getElementById("theme");
if (["light", "dark"].includes(kept.get("theme"))) root.dataset.theme = kept.get("theme");
if (theme) {
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    kept.set("theme", root.dataset.theme);
  });
}

for (const button of all("button[data-copy]")) {
  button.hidden = false;
  const before = button.textContent;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = before; }, 2000);
    } catch {
      getSelection().selectAllChildren(source);
    }
  });
}

// What is linked to can lie in something folded.
const reveal = () => {
  let at = null;
  try { at = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
  for (let fold = at; fold; fold = fold.parentElement?.closest("details")) if (fold.tagName === "DETAILS") fold.open = true;
  if (at) at.scrollIntoView();
};
addEventListener("hashchange", reveal);
if (location.hash) reveal();

const tools = document.getElementById("tools");
if (tools) {
  const items = all("#findings [data-verdict]");
  const words = new Map(items.map((item) => [item, item.textContent.toLowerCase()]));
  const lists = all("#findings .sorted").map((list) => [list, [...list.children]]);
  const told = tools.querySelector("output");
  const by = {
    severity: (a, b) => b.dataset.severity - a.dataset.severity,
    name: (a, b) => a.dataset.name.localeCompare(b.dataset.name),
    n: (a, b) => a.dataset.n - b.dataset.n,
  };
  let order = "";
  const apply = () => {
    const { text, verdict, suite, change } = tools.elements;
    const sought = text.value.trim().toLowerCase();
    const asked = sought || verdict.value || suite.value || change?.value;
    for (const item of items) {
      item.hidden = (verdict.value && item.dataset.verdict !== verdict.value)
        || (suite.value && item.dataset.suite !== suite.value)
        || (change?.value && item.dataset.change !== change.value) || !words.get(item).includes(sought);
    }
    for (const group of all("#findings [data-group]")) {
      group.hidden = !group.querySelector("[data-verdict]:not([hidden])");
      if (asked) for (const fold of all("details.group", group)) fold.open = true;
    }
    if (tools.elements.order.value !== order) {
      order = tools.elements.order.value;
      for (const [list, first] of lists) list.append(...(by[order] ? [...first].sort(by[order]) : first));
    }
    told.textContent = told.dataset.words.replace("%d", items.filter((item) => !item.hidden).length);
  };
  tools.hidden = false;
  tools.addEventListener("input", apply);
  tools.addEventListener("submit", (event) => event.preventDefault());
  let open = false;
  document.getElementById("expand").addEventListener("click", () => {
    open = !open;
    for (const fold of all("main details")) fold.open = open;
  });
  apply();
}

// On paper what was opened, and the short lists of the rest; the style does the same where it can reach into a fold.
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = all("details.rest:not([open])");
  for (const fold of unfolded) fold.open = true;
});
addEventListener("afterprint", () => {
  for (const fold of unfolded) fold.open = false;
});
