// The page: what comes from the server goes to the log and the header; keys, tabs and dialogs.

import { Log } from "./log.js";
import { List, copy, count, load, paced } from "./parts.js";
import { ignore, post, resending, sessions } from "./tools.js";

const by = (id) => document.getElementById(id);
const TABS = ["log", "accounts", "users", "binding"];
const drawer = by("drawer");
const lists = { accounts: new List(by("accounts"), "parts/accounts"), users: new List(by("users"), "parts/users") };
let totals = null;
let tab = "log";
let open = null; // the event in the drawer
let skipped = 0;
let depth = 0; // how many entries of the history the drawer has
let started = false;
let inForce = null;
const filters = by("filters");

const log = new Log(by("grid"), by("rows"), { onOpen: openEvent, onChange: told });

// The log's surroundings

function told() {
  const empty = !log.rows.length;
  by("empty").hidden = !empty || log.waiting.length > 0;
  by("none-found").hidden = empty || log.shown.length > 0;
  const filtered = log.asked.length > 0;
  by("clear").hidden = !filtered;
  by("resend-shown").hidden = !log.shown.length;
  by("found").textContent = filtered ? `${count(log.shown.length)} of ${count(log.rows.length)}` : "";
  const pause = by("pause");
  pause.setAttribute("aria-pressed", log.paused);
  pause.textContent = log.paused ? `Paused: ${count(log.waiting.length)} waiting` : "Pause";
  by("total-problems").textContent = count(totals?.problems ?? log.problems);
  by("total-problems").parentElement.classList.toggle("bad", (totals?.problems ?? log.problems) > 0);
}

const asked = () => [...new FormData(filters)].filter(([, text]) => text !== "");

function applyFilters() {
  log.filter(asked());
  clearTimeout(searching);
  if (filters.elements.text.value.trim()) searching = setTimeout(search, 250);
  // Not at each key: on a busy machine the browser takes 100 ms and more for a new address.
  clearTimeout(addressing);
  addressing = setTimeout(setHash, 1000);
}

let searching = null;
let addressing = null;

// What the log itself does not know (attributes, headers, problems) the server looks through.
const search = paced(async () => {
  const text = filters.elements.text.value.trim();
  if (!text || !log.rows.length) return;
  const answer = await fetch(`found.json?after=${log.oldest - 1}&text=${encodeURIComponent(text)}`).catch(() => null);
  if (!answer?.ok || text !== filters.elements.text.value.trim()) return;
  log.foundMore((await answer.json()).ids);
});

function fromAddress() {
  const said = new URLSearchParams(location.search);
  for (const field of filters.elements) if (field.name && said.has(field.name)) field.value = said.get(field.name);
  if ([...said.keys()].some((name) => name !== "text" && filters.elements[name])) showAllFilters(true);
  if (!asked().length) return;
  log.filter(asked());
  search();
}

// As a field for a local time takes it.
const localNow = () => new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 23);

by("since-now").addEventListener("click", () => { filters.elements.from.value = localNow(); applyFilters(); });

function showOnly(name, text) {
  filters.reset();
  filters.elements[name].value = text;
  applyFilters();
  showTab("log");
  by("grid").focus();
}

filters.addEventListener("input", applyFilters);
filters.addEventListener("submit", (event) => { event.preventDefault(); by("grid").focus(); });
by("clear").addEventListener("click", () => { filters.reset(); applyFilters(); by("filter-text").focus(); });
by("pause").addEventListener("click", () => log.pause(!log.paused));
function showAllFilters(shown) {
  filters.classList.toggle("all", shown);
  by("more-filters").setAttribute("aria-expanded", shown);
}

by("more-filters").addEventListener("click", () => showAllFilters(!filters.classList.contains("all")));

// The stream

let unheard = [];
let hearing = null;

function announce(rows) {
  unheard.push(...rows.filter((row) => row[8] !== null));
  if (!unheard.length || hearing !== null) return;
  hearing = setTimeout(() => {
    const last = unheard[unheard.length - 1];
    const what = unheard.length === 1 ? "A new problem" : `${count(unheard.length)} new problems, the last`;
    by("said").textContent = `${what}: ${last[8]} in ${last[5] ?? last[9]}, account ${last[2] ?? "none"}`;
    [unheard, hearing] = [[], null];
  }, 2000);
}

function connect() {
  // A sandbox that was started anew counts from 1 again, so each connection begins from nothing.
  const source = new EventSource("stream?after=0");
  let fresh = true;
  const first = () => {
    if (fresh) { log.clear(); skipped = 0; }
    const was = fresh;
    fresh = false;
    return was;
  };
  source.addEventListener("open", () => connection("open", "Live"));
  source.addEventListener("rows", (event) => {
    const was = first();
    const rows = JSON.parse(event.data);
    log.add(rows);
    if (filters.elements.text.value) search();
    if (!was && performance.now() - started > 3000) announce(rows);
  });
  source.addEventListener("state", (event) => { first(); showState(JSON.parse(event.data)); });
  source.addEventListener("reset", () => { log.clear(); skipped = 0; });
  source.addEventListener("skipped", (event) => { skipped += JSON.parse(event.data).count; showNotes(); });
  source.addEventListener("error", () => {
    source.close();
    connection("closed", "Not connected, trying again");
    setTimeout(connect, 1000);
  });
  const started = performance.now();
}

function connection(state, text) {
  const element = by("connection");
  element.dataset.state = state;
  element.textContent = text;
}

function showState({ totals: now, tabs, faults }) {
  const changed = totals === null || totals.requests !== now.requests;
  totals = now;
  by("total-events").textContent = count(now.requests);
  by("total-accounts").textContent = count(tabs.accounts);
  by("total-users").textContent = count(tabs.users);
  by("total-dropped").textContent = count(now.dropped);
  by("total-dropped").parentElement.classList.toggle("bad", now.dropped > 0);
  told();
  showFaults(faults);
  showNotes();
  if (changed) { lists.accounts.changed(); lists.users.changed(); countFindings(); }
}

function showNotes() {
  const notes = [];
  if (totals?.lost) notes.push(`${count(totals.lost)} events were lost: the database could not be written. The sandbox's own output says why.`);
  if (totals?.forgotten) notes.push(`The oldest ${count(totals.forgotten)} events were forgotten, to stay within what the sandbox keeps.`);
  if (skipped) notes.push(`${count(skipped)} events are not in this log, because they came faster than the page. They are in the sandbox: see /events.json.`);
  by("notes").hidden = !notes.length;
  if (by("notes").said === notes.join()) return;
  by("notes").said = notes.join();
  by("notes").replaceChildren(...notes.map((text) => Object.assign(document.createElement("p"), { textContent: text })));
}

function showFaults(faults) {
  inForce = faults;
  const acts = {
    status: `answered ${faults.status}${faults.retry_after === null ? "" : ` with Retry-After: ${faults.retry_after}`}`,
    close: "closed without an answer",
    mute: "never answered",
    lost: "taken, but their answer is lost",
  };
  const says = [];
  if (faults.mode !== "none") {
    const share = faults.share < 1 ? `${Number((faults.share * 100).toFixed(2))} % of the requests` : "All requests";
    says.push(`${share} are ${acts[faults.mode]}.`);
  }
  if (faults.delay) says.push(`Every answer waits ${faults.delay} s.`);
  if (says.length && faults.seconds !== null) says.push(`For another ${faults.seconds} s.`);
  by("fault-bar").hidden = !says.length;
  by("fault-text").textContent = says.join(" ");
}

const countFindings = paced(async () => {
  const part = by("binding").querySelector(".part");
  if (!await load(part, "parts/binding")) return;
  const found = Number(part.querySelector("[data-count]").dataset.count);
  by("binding-count").hidden = !found;
  by("binding-count").textContent = count(found);
});

// Tabs

function showTab(name, { focus = false } = {}) {
  tab = name;
  for (const each of TABS) {
    const button = by(`tab-${each}`);
    button.setAttribute("aria-selected", each === name);
    button.tabIndex = each === name ? 0 : -1;
    by(each).hidden = each !== name;
  }
  if (focus) by(`tab-${name}`).focus();
  lists[name]?.show();
  if (name === "log") log.draw();
  if (open === null) setHash();
}

// The address has the filters, and behind # the event or the tab; how deep in the drawer it is, the history knows.
function setHash(event = open, { push = false } = {}) {
  const query = new URLSearchParams(asked()).toString();
  const part = event === null ? (tab === "log" ? "" : tab) : `event-${event}`;
  const address = `${location.pathname}${query ? `?${query}` : ""}${part ? `#${part}` : ""}`;
  if (push) history.pushState({ depth: 1 }, "", address);
  else history.replaceState(history.state, "", address);
  depth = history.state?.depth ?? 0;
}

for (const name of TABS) {
  by(`tab-${name}`).addEventListener("click", () => showTab(name));
  by(`tab-${name}`).addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const to = event.key === "Home" ? 0 : event.key === "End" ? TABS.length - 1 : TABS.indexOf(name) + step;
    if (Number.isNaN(to)) return;
    event.preventDefault();
    showTab(TABS.at(to % TABS.length), { focus: true });
  });
}

// The drawer

let focusAfter = null;
let leaving = false; // the drawer is closed, and the history is on its way to before it

async function openEvent(id) {
  open = id;
  const isInAddress = location.hash === `#event-${id}`;
  const push = !drawer.open && !isInAddress;
  if (!drawer.open) {
    focusAfter = document.activeElement;
    drawer.showModal();
  }
  setHash(id, { push });
  by("newer").disabled = log.neighbour(id, -1) === null;
  by("older").disabled = log.neighbour(id, 1) === null;
  const there = await load(by("event"), `parts/event/${id}`);
  if (there) drawer.setAttribute("aria-label", `Event ${id}`);
  by("event").scrollTop = 0;
  by("event").focus();
}

function step(by_) {
  const next = log.neighbour(open, by_);
  if (next === null) return;
  log.select(next);
  openEvent(next);
}

by("newer").addEventListener("click", () => step(-1));
by("older").addEventListener("click", () => step(1));
by("close-drawer").addEventListener("click", () => drawer.close());
drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
drawer.addEventListener("close", () => {
  open = null;
  const depth = location.hash.startsWith("#event-") ? history.state?.depth ?? 0 : 0;
  leaving = depth > 0;
  if (leaving) history.go(-depth); else setHash();
  const target = focusAfter?.isConnected && focusAfter !== document.body ? focusAfter : by(tab === "log" ? "grid" : `tab-${tab}`);
  target.focus();
});

function fromHash() {
  if (leaving) { leaving = false; setHash(); return; }
  const name = location.hash.slice(1);
  const event = /^event-(\d+)$/.exec(name);
  // An entry that a link has made: one deeper than what was before it.
  if (event && history.state === null && started) history.replaceState({ depth: drawer.open ? depth + 1 : 1 }, "");
  depth = history.state?.depth ?? 0;
  if (event) { if (Number(event[1]) !== open) openEvent(Number(event[1])); return; }
  if (drawer.open) drawer.close();
  showTab(TABS.includes(name) ? name : "log");
}


addEventListener("hashchange", fromHash);

// Faults, reset, keys

// The form begins with what is in force.
by("open-faults").addEventListener("click", () => {
  const fields = by("faults-form").elements;
  by("faults-form").reset();
  if (!inForce || by("fault-bar").hidden) return;
  for (const name of ["mode", "status", "retry_after", "delay", "seconds"]) fields[name].value = inForce[name] ?? "";
  fields.share.value = Number((inForce.share * 100).toFixed(6));
});
by("faults-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = Object.fromEntries(new FormData(event.currentTarget));
  const optional = (text) => (text === "" ? null : Number(text));
  const body = {
    mode: given.mode, status: Number(given.status), retry_after: optional(given.retry_after),
    delay: Number(given.delay), share: Number(given.share) / 100, seconds: optional(given.seconds),
  };
  if (await post("faults.json", body, by("faults-wrong"), showFaults)) by("faults").close();
});
by("stop-faults").addEventListener("click", async () => {
  if (await post("faults.json", {}, null, showFaults)) by("open-faults").focus();
});
by("do-reset").addEventListener("click", async () => {
  if (await post("reset", {}, by("reset-wrong"))) by("reset").close();
});
for (const name of ["faults", "reset", "keys", "session"]) {
  by(`open-${name}`).addEventListener("click", () => {
    for (const wrong of by(name).querySelectorAll(".wrong")) wrong.textContent = "";
    by(name).showModal();
  });
}

const resend = resending(by("resend"));
by("resend-shown").addEventListener("click", () => resend(log.shown.slice(-1000).map((row) => row[0])));
sessions(by("session"), () => log.csv());

// What a number in the header counts.
function goTo(what) {
  if (what === "accounts" || what === "users") { showTab(what, { focus: true }); return; }
  if (what !== "events") { showOnly("problem", what); return; }
  filters.reset();
  applyFilters();
  showTab("log");
  by("grid").focus();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.copy !== undefined) copy(button);
  if (button.dataset.close !== undefined) button.closest("dialog").close();
  if (button.dataset.go !== undefined) goTo(button.dataset.go);
  if (button.dataset.ignore !== undefined) ignore(button, countFindings);
  if (button.dataset.resend !== undefined) resend([Number(button.dataset.resend)]);
  if (button.dataset.showAccount !== undefined) showOnly("account", button.dataset.showAccount);
  if (button.dataset.showUser !== undefined) showOnly("user", button.dataset.showUser);
});

// Keys

const MOVES = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -Infinity, End: Infinity };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const at = event.target;
  if (at.matches("input, select, textarea")) {
    if (event.key === "Escape" && tab === "log") by("grid").focus();
    return;
  }
  const inLog = tab === "log" && (at === by("grid") || at === document.body);
  if (event.key === "?") by("keys").showModal();
  else if (event.key === "/") (tab === "log" ? by("filter-text") : by(tab).querySelector("input"))?.focus();
  else if (event.key === "p" && tab === "log") log.pause(!log.paused);
  else if (inLog && event.key in MOVES) { log.move(MOVES[event.key]); by("grid").focus({ preventScroll: true }); }
  else if (inLog && event.key === "Enter" && log.active !== null) { by("grid").focus(); openEvent(log.active); }
  else return;
  event.preventDefault();
});

fromAddress();
connect();
fromHash();
started = true;
