// Keyboard, time, drag and drop, drafts and undo. The forms work without this file; the state of a ranking is in its radio buttons.
"use strict";

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (name, properties, ...children) => { const node = Object.assign(document.createElement(name), properties); node.append(...children); return node; };

// Time: seconds with the page in view and input within the last minute.
const clock = one(".clock");
let active = Number(clock?.dataset.active || 0), last = performance.now(), touched = last;
const fields = all("input[name=active]");
const tick = () => {
  const now = performance.now();
  if (!document.hidden && now - touched < 60000) active += (now - last) / 1000;
  last = now;
  if (clock) clock.textContent = ` · ${Math.floor(active / 60)}:${String(Math.floor(active % 60)).padStart(2, "0")}`;
  for (const field of fields) field.value = active.toFixed(1);
};
for (const kind of ["keydown", "pointerdown", "pointermove", "scroll"]) addEventListener(kind, () => { touched = performance.now(); }, { passive: true });
setInterval(tick, 500);
tick();
addEventListener("submit", tick, true);

// A form is submitted once, however often it is clicked.
addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
});
addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.sent; });

// Drafts.
const drafting = (form, content) => {
  let timer = 0, kept = "";
  const save = (leaving) => {
    clearTimeout(timer);
    tick();
    const text = JSON.stringify(content());
    if (text === kept || form.dataset.sent) return;
    kept = text;
    const body = JSON.stringify({ key: form.elements.key.value, active, ...content() });
    fetch(form.dataset.draft, { method: "POST", body, headers: { "Content-Type": "application/json" }, keepalive: leaving }).catch(() => { kept = ""; });
  };
  kept = JSON.stringify(content());
  addEventListener("pagehide", () => save(true));
  document.addEventListener("visibilitychange", () => document.hidden && save(true));
  return () => { clearTimeout(timer); timer = setTimeout(save, 700); };
};

const typing = (target) => target.closest("textarea, select, input:not([type=radio], [type=checkbox])");

// Keys: an element names those that it has in data-hotkey; a form names the one that submits it in data-submit.
const hotkey = (event, within) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const key = CSS.escape(event.key.length === 1 ? event.key.toLowerCase() : event.key);
  return all(`[data-hotkey~="${key}"]`, within).find((node) => !node.hidden) ?? null;
};
const press = (node) => {
  if (node.matches("details")) { node.open = !node.open; (node.open ? one("input", node) : node.closest(".answer") ?? one("summary", node)).focus(); }
  else node.click();
};
const submits = (event, form) => event.key === "Enter" && !event.repeat && (event.ctrlKey || event.metaKey || form.dataset.submit === "enter");
const native = (event) => typing(event.target) || event.target.closest("details.skip");
// A key of a page without cards; returns whether it had a meaning. Enter on a link or a button is the browser's.
const plainKey = (event, form, submit) => {
  if (event.key === "Enter") {
    if (event.target.closest("a, button, summary")) return false;
    if (submits(event, form)) submit();
    return true;
  }
  const node = hotkey(event, document);
  if (node) press(node);
  return node !== null;
};

// Ranking.
const ranking = one("#rank");
if (ranking) {
  const cards = all(".answer", ranking), k = cards.length, names = cards.map((card) => card.dataset.letter);
  const shown = Object.fromEntries(cards.map((card) => [card.dataset.letter, card.dataset.name]));
  const lanes = one(".lanes", ranking), undo = one(".undo", ranking), go = one(".go", ranking), word = one(".go .word", ranking);
  const history = [];
  const radios = (name) => all(`input[name=rank-${name}]`, ranking);
  const rankOf = (name) => Number(radios(name).find((radio) => radio.checked)?.value || 0);
  const ranks = () => Object.fromEntries(names.map((name) => [name, rankOf(name)]));
  const about = () => Object.fromEntries(all(".about input:checked, .about select").map((field) => [field.name.slice(6), field.value]));
  const flags = () => Object.fromEntries(cards.map((card) => [card.dataset.letter, all(".flagging input:checked", card).map((field) => field.name.slice(7))]));
  const changed = drafting(ranking, () => ({ ranks: Object.fromEntries(Object.entries(ranks()).filter(([, rank]) => rank)), flags: flags(), about: about() }));
  let before = ranks();

  const chip = (name) => { const node = make("li", { className: "chip", textContent: shown[name] }); node.dataset.letter = name; return node; };
  const put = (next) => { for (const name of names) for (const radio of radios(name)) radio.checked = Number(radio.value) === next[name]; };
  const show = () => {
    const now = ranks(), left = names.filter((name) => !now[name]);
    for (const card of cards) {
      const name = card.dataset.letter, rank = now[name], others = names.filter((other) => other !== name && rank && now[other] === rank);
      card.classList.toggle("ranked", rank > 0);
      card.classList.toggle("tied", others.length > 0);
      one(".state", card).textContent = !rank ? "unranked" : others.length ? `ties with ${others.map((other) => shown[other]).join(", ")}` : "";
    }
    for (const lane of all(".lane", lanes)) {
      const rank = Number(lane.dataset.rank), here = names.filter((name) => now[name] === rank);
      one("ul", lane).replaceChildren(...here.map(chip));
      one("b", lane).textContent = rank ? `${rank}${rank === 1 ? " best" : ""}${here.length > 1 ? " tie" : ""}` : "unranked";
      lane.classList.toggle("tie", rank > 0 && here.length > 1);
    }
    undo.disabled = !history.length;
    go.disabled = left.length > 0;
    word.textContent = left.length ? `${left.length} unranked` : "Submit";
  };
  const change = (next) => {
    if (names.every((name) => next[name] === before[name])) return;
    history.push(before);
    before = next;
    put(next);
    show();
    changed();
  };
  const set = (name, rank) => change({ ...ranks(), [name]: Math.max(0, Math.min(k, rank)) });
  const back = () => { if (history.length) { before = history.pop(); put(before); show(); changed(); } };

  for (let rank = 0; rank <= k; rank += 1) {
    const list = make("ul", {});
    const lane = make("div", { className: rank ? "lane" : "lane open" }, make("b", {}), list);
    lane.dataset.rank = rank;
    lanes.append(lane);
    Sortable.create(list, { group: "ranks", animation: 120, forceFallback: true, onEnd: (drop) => {
      const to = Number(drop.to.closest(".lane").dataset.rank), name = drop.item.dataset.letter;
      show();
      set(name, to);
    } });
  }
  for (const hidden of [lanes, undo, one(".keys", ranking)]) hidden.hidden = false;
  ranking.noValidate = true;
  undo.addEventListener("click", back);
  ranking.addEventListener("change", (event) => event.target.closest(".ranks") ? change(ranks()) : changed());
  ranking.addEventListener("submit", (event) => {
    if (names.some((name) => !rankOf(name))) { event.preventDefault(); event.stopImmediatePropagation(); delete ranking.dataset.sent; }
  });
  addEventListener("keydown", (event) => {
    const meta = event.ctrlKey || event.metaKey, here = cards.findIndex((card) => card.contains(document.activeElement)), name = names[here];
    if (event.key === "Enter" && (meta || !native(event) && !event.target.closest("summary, button, a"))) {
      event.preventDefault();
      if (submits(event, ranking) && !go.disabled) ranking.requestSubmit(go);
      return;
    }
    if (native(event) || event.altKey) return;
    if (event.key.toLowerCase() === "z" && meta) { back(); event.preventDefault(); return; }
    if (meta) return;
    const own = hotkey(event, cards[here < 0 ? 0 : here]), page = own ? null : hotkey(event, document);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && event.shiftKey && name) set(name, rankOf(name) ? Math.max(1, rankOf(name) + step) : step > 0 ? k : 1);
    else if (step) cards[here < 0 ? 0 : (here + step + k) % k].focus();
    else if (own?.matches("input[type=radio]")) {
      const at = here < 0 ? 0 : here;
      set(names[at], Number(event.key));
      const next = [...names.keys()].map((n) => (at + n) % k).find((n) => !rankOf(names[n]));
      cards[next ?? at].focus();
    } else if ((event.key === "0" || event.key === "Backspace") && name) set(name, 0);
    else if (event.key === "Escape" && event.target.closest(".flagging")) { event.target.closest(".flagging").open = false; cards[here].focus(); }
    else if (own) press(own);
    else if (page && !page.closest(".answer")) press(page);
    else return;
    event.preventDefault();
  });
  show();
  const first = cards.find((card) => !rankOf(card.dataset.letter)) || cards[0];
  if (!one(".problem")) first.focus({ preventScroll: true });
}

// Rating one response.
const rating = one("#rate");
if (rating) {
  addEventListener("keydown", (event) => {
    if (!native(event) && plainKey(event, rating, () => rating.requestSubmit())) event.preventDefault();
  });
}

// Comparing two responses.
const comparing = one("#compare");
if (comparing) {
  const vote = () => { if (one("input[name=better]:checked", comparing)) comparing.requestSubmit(); };
  addEventListener("keydown", (event) => {
    if (!native(event) && plainKey(event, comparing, vote)) event.preventDefault();
  });
}

// Writing.
const writing = one("#write");
if (writing) {
  const changed = drafting(writing, () => ({ turns: all("textarea", writing).map((field) => field.value) }));
  writing.addEventListener("input", changed);
  addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.repeat && (event.ctrlKey || event.metaKey)) writing.requestSubmit(one(".go", writing)); });
  (all("textarea", writing).find((field) => !field.value) || one("textarea", writing)).focus();
}
