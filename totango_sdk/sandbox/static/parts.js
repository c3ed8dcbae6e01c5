// What the server renders: the drawer, the trees, the findings. Every value in it is escaped there.

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const exact = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  fractionalSecondDigits: 3, hourCycle: "h23",
});
const number = new Intl.NumberFormat("en");

export const count = (value) => number.format(value);

// Fetch a part into an element. Returns whether it is there.
export async function load(element, address) {
  const asked = Symbol("asked");
  element.asked = asked;
  let text = "";
  let wrong = "";
  try {
    const answer = await fetch(address);
    text = await answer.text();
    if (!answer.ok) wrong = explain(text, answer.status);
  } catch {
    wrong = "The sandbox does not answer. Is it still running?";
  }
  if (element.asked !== asked) return false; // what was asked later is what counts
  if (wrong) {
    const said = document.createElement("p");
    said.className = "empty";
    said.textContent = wrong;
    element.replaceChildren(said);
    return false;
  }
  element.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
  for (const time of element.querySelectorAll("time[data-ms]")) {
    const said = time.dataset.ms;
    const date = new Date(/^[0-9.]+$/.test(said) ? Number(said) : said);
    if (Number.isNaN(date.getTime())) continue;
    if (time.dataset.exact !== undefined) time.textContent = exact.format(date);
    else time.textContent = time.dataset.until ? full.formatRange(date, new Date(Number(time.dataset.until))) : full.format(date);
  }
  return true;
}

export function explain(text, status) {
  try {
    return String(JSON.parse(text).error);
  } catch {
    return `The sandbox answered ${status}.`;
  }
}

// Return a function that runs `act` soon, and again when it was called meanwhile; but it leaves the
// server alone for ten times as long as it has taken, because that serves programs first.
export function paced(act) {
  let [busy, again] = [false, false];
  return async function run() {
    again = busy;
    if (busy) return;
    busy = true;
    const began = performance.now();
    await act();
    setTimeout(() => {
      busy = false;
      if (again) run();
    }, Math.max(1000, 10 * (performance.now() - began)));
  };
}

// A tab whose list the server filters. It refreshes itself, unless somebody is reading in it.
export class List {
  constructor(panel, address) {
    Object.assign(this, { panel, address });
    this.part = panel.querySelector(".part");
    this.refresh = panel.querySelector(".refresh");
    this.input = panel.querySelector("input");
    this.stale = true;
    this.changed = paced(() => { this.stale = true; return this.panel.hidden ? null : this.show(); });
    this.input.addEventListener("input", () => this.load());
    panel.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
    this.refresh.addEventListener("click", () => { this.load(); this.input.focus(); });
    // `toggle` does not bubble, but it can be caught on the way down.
    this.part.addEventListener("toggle", (event) => this.opened(event.target), true);
  }

  async load() {
    this.stale = false;
    this.refresh.hidden = true;
    await load(this.part, `${this.address}?text=${encodeURIComponent(this.input.value)}`);
  }

  async show() {
    if (!this.stale) return;
    if (this.part.querySelector("details[open]")) this.refresh.hidden = false;
    else await this.load();
  }

  opened(details) {
    const account = details.dataset.account;
    if (!details.open || account === undefined) return;
    load(details.querySelector(".details"), `parts/account?id=${encodeURIComponent(account)}`);
  }
}

// Copy the text of an element, and say so on the button.
export async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  if (!source) return;
  const before = [...button.childNodes];
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch { // not allowed here: mark it, so that the person can
    getSelection().selectAllChildren(source);
    button.textContent = "Marked: copy it";
  }
  setTimeout(() => button.replaceChildren(...before), 1500);
}
