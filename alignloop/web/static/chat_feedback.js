// Feedback on responses: thumbs with a reason, what a response should have been, which of two is better.
"use strict";
(() => {
  const { body } = document;
  const thread = document.getElementById("thread"), status = document.getElementById("status"), problem = document.getElementById("problem");
  const headers = { "Content-Type": "application/json", Accept: "application/json", "X-Form-Key": body.dataset.key };
  const saved = () => `Saved.${body.dataset.consent === "yes" ? "" : " It is not used for training: you have not agreed to that."}`;

  async function send(what, values) {
    const id = location.pathname.split("/").pop();
    problem.hidden = true;
    try {
      const reply = await fetch(`/chat/c/${id}/${what}`, { method: "POST", headers, body: JSON.stringify(values) });
      if (reply.ok) { status.textContent = saved(); return true; }
      let words = `The server responded with ${reply.status}.`;
      try { words = (await reply.json()).problem || words; } catch { /* no JSON */ }
      problem.textContent = words;
    } catch { problem.textContent = "The connection broke: nothing was saved. Try again."; }
    problem.hidden = false;
    problem.scrollIntoView({ block: "end" });
    return false;
  }

  function changed(response, selector) {  // show it as the server has it, and come back to where the person was
    new MutationObserver((_, observer) => {
      observer.disconnect();
      (thread.querySelector(`li[data-id="${response}"] ${selector}`) || document.getElementById("message")).focus({ preventScroll: true });
    }).observe(thread, { childList: true });
    document.dispatchEvent(new Event("feedback-saved"));
  }

  function form(item, field, name, words, save) {
    item.querySelector(".opinion")?.remove();
    const box = document.createElement("form"), row = document.createElement("div");
    box.className = "edit opinion";
    field.setAttribute("aria-label", name);
    const note = document.createElement("p"), cancel = document.createElement("button"), go = document.createElement("button");
    note.className = "quiet"; note.textContent = words;
    cancel.type = "button"; cancel.textContent = "Close"; go.className = "go"; go.textContent = "Save";
    row.append(cancel, go); box.append(note, field, row); item.append(box);
    field.focus();
    const close = () => { box.remove(); item.querySelector("[data-thumb], [data-act=improve]")?.focus(); };
    cancel.addEventListener("click", close);
    box.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); close(); } });
    box.addEventListener("submit", (event) => { event.preventDefault(); save(field.value); });
  }

  async function rate(item, button) {
    const response = Number(item.dataset.id), { thumb } = button.dataset;
    const values = { response, thumb: button.getAttribute("aria-pressed") === "true" ? "none" : thumb };
    if (!await send("thumb", values)) return;
    if (values.thumb === "none") { changed(response, `[data-thumb=${thumb}]`); return; }
    for (const each of item.querySelectorAll("[data-thumb]")) each.setAttribute("aria-pressed", String(each === button));
    const reason = document.createElement("input");
    reason.type = "text"; reason.maxLength = 2000; reason.placeholder = "Why? (optional)"; reason.autocomplete = "off"; reason.dir = "auto";
    form(item, reason, "Reason", saved(), async (text) => {
      if (await send("thumb", { ...values, reason: text })) changed(response, `[data-thumb=${thumb}]`);
    });
  }

  function improve(item) {
    const response = Number(item.dataset.id), area = document.createElement("textarea");
    area.rows = 5; area.required = true; area.maxLength = 100000; area.dir = "auto";
    area.value = (item.querySelector(".improved div") || item.querySelector("template").content).textContent;
    form(item, area, "What the response should have been", "Write the response as it should have been.", async (text) => {
      if (await send("edit", { response, text })) changed(response, "[data-act=improve]");
    });
  }

  thread.addEventListener("click", async (event) => {
    const button = event.target.closest("button"), item = button?.closest("li.message");
    if (!item || body.classList.contains("running")) return;
    if (button.dataset.thumb) await rate(item, button);
    else if (button.dataset.act === "improve") improve(item);
    else if (button.dataset.choice) {
      const values = { comparison: Number(item.dataset.comparison), choice: button.dataset.choice };
      if (await send("choice", values)) changed("", "");
    }
  });
})();
