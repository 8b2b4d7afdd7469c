// Suggestions while a message is typed: Tab or a click accepts, Ctrl Right accepts a word, Esc dismisses. Off by default.
"use strict";
(() => {
  const { body } = document;
  const message = document.getElementById("message"), box = document.getElementById("suggestion"), on = document.getElementById("suggest");
  const headers = { "Content-Type": "application/json", Accept: "application/json", "X-Form-Key": body.dataset.key };
  const KEY = "alignloop-suggest", PAUSE = 500, LEAST = 3;
  let timer, asking, shown = null;  // the suggestion that is shown: its id, what is left of it, what was taken

  const post = (place, values, signal) => fetch(place, { method: "POST", headers, body: JSON.stringify(values), signal });

  function end(outcome) {
    clearTimeout(timer); asking?.abort();
    const ended = shown;
    shown = null; box.hidden = true; box.textContent = "";
    if (ended?.id && ended.taken && outcome !== "accepted") outcome = "part";
    if (ended?.id && outcome) post(`/chat/suggestions/${ended.id}`, { outcome, taken: ended.taken }).catch(() => {});
  }

  function show() {
    const all = document.createElement("button"), keys = document.createElement("span"), text = document.createElement("span");
    all.type = "button"; all.className = "plain";
    keys.className = "quiet"; keys.textContent = "Tab: "; text.className = "prose"; text.textContent = shown.left;
    all.append(keys, text); box.replaceChildren(all); box.hidden = false;
  }

  async function ask() {
    const typed = message.value;
    if (typed.trim().length < LEAST || message.selectionStart !== typed.length || body.classList.contains("running")) return;
    asking = new AbortController();
    try {
      const reply = await post("/chat/suggestions", { text: typed, model: document.getElementById("settings").elements.model.value }, asking.signal);
      if (!reply.ok) return;
      const found = await reply.json();
      if (!found.text || message.value !== typed) return;
      shown = { id: found.id, left: found.text, taken: "" };
      show();
    } catch { /* typed on, or no connection: no suggestion */ }
  }

  function take(part) {
    message.setRangeText(part, message.value.length, message.value.length, "end");
    shown.taken += part; shown.left = shown.left.slice(part.length);
    if (shown.left) show(); else end("accepted");
  }

  message.addEventListener("input", () => {
    end(null);
    if (on.checked) timer = setTimeout(ask, PAUSE);
  });
  message.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) { end(null); return; }
    if (!shown || event.isComposing) return;
    if (event.key === "Tab" && !event.shiftKey) { event.preventDefault(); take(shown.left); }
    else if (event.key === "ArrowRight" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); take(shown.left.match(/^\s*\S+/)[0]); }
    else if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); end("dismissed"); }
  });
  box.addEventListener("click", () => { if (shown) { take(shown.left); message.focus(); } });
  on.checked = localStorage.getItem(KEY) === "on";
  on.addEventListener("change", () => { localStorage.setItem(KEY, on.checked ? "on" : "off"); end(null); });
})();
