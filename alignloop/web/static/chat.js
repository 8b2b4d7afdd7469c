// The chat page. What it shows of messages is text, or HTML that the server has rendered from Markdown.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const { body } = document;
  const [thread, main, message, send, stop, settings] = ["thread", "main", "message", "send", "stop", "settings"].map($);
  let conversation = body.dataset.conversation;
  let isRunning = false;

  const say = (words) => { $("status").textContent = words; };
  const problem = (words) => { $("problem").textContent = words; $("problem").hidden = !words; if (words) $("problem").scrollIntoView({ block: "end" }); };
  const atEnd = () => main.scrollHeight - main.scrollTop - main.clientHeight < 80;
  const toEnd = () => { main.scrollTop = main.scrollHeight; };
  const headers = { "Content-Type": "application/json", Accept: "application/json", "X-Form-Key": body.dataset.key };

  async function post(place, values) {
    const reply = await fetch(place, { method: "POST", headers, body: JSON.stringify(values) });
    if (!reply.ok) {
      let words = `The server responded with ${reply.status}.`;
      try { words = (await reply.json()).problem || words; } catch { /* no JSON */ }
      throw new Error(words);
    }
    return reply;
  }

  async function part(place) {
    const reply = await fetch(place, { headers: { Accept: "application/json" } });
    if (!reply.ok) throw new Error("Load this page again.");
    return reply.text();
  }

  function addCodeButtons() {
    for (const pre of thread.querySelectorAll(".markdown pre")) {
      if (pre.querySelector("button")) continue;
      pre.tabIndex = 0;
      const button = document.createElement("button");
      button.type = "button"; button.className = "small"; button.textContent = "Copy"; button.dataset.act = "copy-code";
      pre.append(button);
    }
  }

  async function refresh() {
    const end = atEnd();
    thread.innerHTML = await part(`/chat/c/${conversation}/thread`);
    addCodeButtons();
    if (end) toEnd();
  }

  async function refreshList() {
    $("list").innerHTML = await part(`/chat/list?q=${encodeURIComponent($("search").value)}`);
    const link = conversation && $("list").querySelector(`a[href="/chat/c/${conversation}"]`);
    if (link) { link.setAttribute("aria-current", "page"); link.parentElement.classList.add("here"); }
  }

  function bubble(role, text) {
    const item = document.createElement("li");
    item.className = `message ${role}`;
    const who = document.createElement("span");
    who.className = "who"; who.textContent = role === "user" ? "You" : $("model").textContent;
    const content = document.createElement("div");
    content.className = "text prose"; content.dir = "auto"; content.textContent = text;
    item.append(who, content);
    thread.append(item);
    return item;
  }

  function beside(item) {
    const text = item.querySelector(".text").cloneNode();
    item.classList.add("two"); item.append(text);
    return text;
  }

  function called(text, call) {  // what is looked up, above the text; what stood before the call is no response
    const words = [call.tool, call.asked].filter(Boolean).join(": ");
    text.textContent = "";
    if (call.outcome === null) {
      const line = document.createElement("p");
      line.className = "quiet call"; line.dir = "auto"; line.textContent = `${words} …`;
      text.parentElement.insertBefore(line, text);
      text.call = line;
      say(words);
    } else if (text.call) text.call.textContent = [words, call.problem].filter(Boolean).join(" · ");
  }

  function running(on) {
    isRunning = on;
    send.hidden = on; stop.hidden = !on;
    body.classList.toggle("running", on);
  }

  function dropAfter(parent) {  // what is shown below a message while another branch is written
    const items = [...thread.children];
    const place = parent ? items.findIndex((item) => item.dataset.id === String(parent)) : -1;
    items.slice(place + 1).forEach((item) => item.remove());
  }

  async function respond(place, values, prompt) {
    problem(""); running(true); say("The model responds.");
    $("welcome")?.remove();
    if (prompt !== undefined) bubble("user", prompt);
    const live = bubble("assistant", "");
    live.classList.add("live");
    toEnd();
    const texts = [live.querySelector(".text")];  // of the response, or of both where two are written
    let failed = "";
    try {
      const reply = await post(place, values);
      const id = reply.headers.get("X-Conversation");
      if (!conversation) { conversation = id; history.replaceState(null, "", `/chat/c/${id}`); }
      const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n\n");
        rest = lines.pop();
        for (const line of lines) {
          const event = JSON.parse(line.slice(6));
          const end = atEnd();
          const side = event.side || 0;
          texts[side] ??= beside(live);
          if (event.text) texts[side].textContent += event.text;
          if (event.call) called(texts[side], event.call);
          if (event.note) { say(event.note); texts[side].dataset.note = event.note; }
          if (event.problem) failed = event.problem;
          if (end) toEnd();
        }
      }
    } catch (error) {
      failed = error instanceof TypeError ? "The connection broke. What was written is saved: load this page again." : error.message;
    }
    running(false);
    try {
      if (conversation) { await refresh(); await refreshList(); } else thread.replaceChildren();
    } catch (error) { failed ||= error.message; }
    if (!conversation && prompt !== undefined) message.value = prompt;
    say(failed ? "" : "The response has ended.");
    if (failed) problem(failed);
    else if (!body.dataset.conversation && conversation) location.replace(`/chat/c/${conversation}`);
    message.focus({ preventScroll: true });
  }

  const settingValues = () => {
    const fields = new FormData(settings);
    const number = (name) => (fields.get(name) === "" ? null : Number(fields.get(name)));
    return { model: fields.get("model"), system: fields.get("system"), temperature: number("temperature"), top_p: number("top_p"), max_tokens: number("max_tokens"), seed: number("seed") };
  };

  function sendPrompt(content, parent) {
    const values = { content, parent };
    if (conversation) values.conversation = conversation; else values.settings = settingValues();
    dropAfter(parent);
    respond("/chat/prompts", values, content);
  }

  function grow() { message.style.height = "auto"; message.style.height = `${message.scrollHeight + 2}px`; }

  $("compose").addEventListener("submit", (event) => {
    event.preventDefault();
    const content = message.value;
    if (isRunning || !content.trim()) return;
    message.value = ""; grow();
    const last = thread.lastElementChild;
    if (last?.classList.contains("user")) sendPrompt(content, Number(last.dataset.parent) || null);  // it has no response
    else sendPrompt(content, Number(last?.dataset.id) || null);
  });
  message.addEventListener("input", grow);
  message.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("compose").requestSubmit(); }
  });

  const stopNow = () => conversation && post(`/chat/c/${conversation}`, { act: "stop" }).catch((error) => problem(error.message));
  stop.addEventListener("click", stopNow);

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isRunning) stopNow();
    else if (event.key === "Escape" && $("side").classList.contains("open")) $("side").classList.remove("open");
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $("side").classList.add("open"); $("search").focus(); }
  });

  async function copy(text, button) {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  function edit(item) {
    const box = document.createElement("form"), area = document.createElement("textarea"), row = document.createElement("div");
    box.className = "edit"; area.value = item.querySelector("template").content.textContent; area.rows = 3; area.required = true;
    area.setAttribute("aria-label", "Edited message");
    const cancel = document.createElement("button"), save = document.createElement("button");
    cancel.type = "button"; cancel.textContent = "Cancel"; save.className = "go"; save.textContent = "Send";
    row.append(cancel, save); box.append(area, row);
    const old = [item.querySelector(".text"), item.querySelector(".tools")];
    old.forEach((each) => { each.hidden = true; });
    item.append(box); area.focus();
    cancel.addEventListener("click", () => { box.remove(); old.forEach((each) => { each.hidden = false; }); });
    box.addEventListener("submit", (event) => {
      event.preventDefault();
      if (isRunning || !area.value.trim()) return;
      sendPrompt(area.value, Number(item.dataset.parent) || null);
    });
  }

  thread.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const item = button.closest("li");
    try {
      if (button.dataset.act === "copy") await copy([...item.querySelectorAll("template")].pop().content.textContent, button);
      else if (button.dataset.act === "copy-code") await copy(button.parentElement.querySelector("code").textContent, button);
      else if (isRunning) return;
      else if (button.dataset.show) { await post(`/chat/c/${conversation}`, { act: "show", message: Number(button.dataset.show) }); await refresh(); }
      else if (button.dataset.act === "edit") edit(item);
      else if (button.dataset.act === "again") {
        dropAfter(item.dataset.parent);
        await respond(`/chat/c/${conversation}/again`, { prompt: Number(item.dataset.parent) });
      }
    } catch (error) { problem(error.message); }
  });

  $("settings-button").addEventListener("click", () => {
    settings.hidden = !settings.hidden;
    $("settings-button").setAttribute("aria-expanded", String(!settings.hidden));
  });
  settings.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      if (conversation) { await post(`/chat/c/${conversation}`, { act: "settings", settings: settingValues() }); location.reload(); }
      else { $("model").textContent = settingValues().model; $("settings-button").click(); message.focus(); }
    } catch (error) { problem(error.message); }
  });
  $("rename")?.addEventListener("click", async () => {
    const title = prompt("The new name", $("title").textContent);
    if (!title?.trim()) return;
    try { await post(`/chat/c/${conversation}`, { act: "rename", title }); location.reload(); } catch (error) { problem(error.message); }
  });
  $("delete")?.addEventListener("click", async () => {
    if (!confirm("Delete this conversation with all its messages?")) return;
    try { await post(`/chat/c/${conversation}`, { act: "delete" }); location.assign("/chat"); } catch (error) { problem(error.message); }
  });

  document.addEventListener("feedback-saved", () => refresh().catch((error) => problem(error.message)));

  let waiting;
  $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => refreshList().catch((error) => problem(error.message)), 150); });
  $("open-side").addEventListener("click", () => $("side").classList.add("open"));
  $("close-side").addEventListener("click", () => $("side").classList.remove("open"));

  setInterval(() => {  // a person's response
    if (conversation && !isRunning && thread.querySelector(".waiting") && !thread.querySelector("form.edit")) refresh().catch(() => {});
  }, 10000);

  addCodeButtons();
  toEnd();
})();
