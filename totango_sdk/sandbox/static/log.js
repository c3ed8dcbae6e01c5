// The log: plain arrays in memory, and elements only for what is visible.

const MOST = 10000;
const SPARE = 2000; // what is kept beyond that until it is cut, so that cutting is rare
const AROUND = 6; // rows drawn above and below what is visible
const [ID, TIME, ACCOUNT, PRODUCT, USER, ACTIVITY, MODULE, SOURCE, SEVERITY, KIND, FAULT, SERVICE, TEXT] = Array(13).keys();
const CELLS = ["time", "mark", "activity", "module", "account", "product", "user", "source", "service"];
const SOURCES = { sdk: "SDK", browser: "Browser" };
const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});

const lower = (text) => (text === null ? "" : text.toLowerCase());

// The words that are looked for; what stands in quotes is one.
const words = (text) => [...text.matchAll(/"([^"]*)"?|(\S+)/g)].map((found) => found[1] ?? found[2]).filter(Boolean);

// What a filter compares with, from what its field says.
const READ = {
  text: (text) => words(text.toLowerCase()),
  from: (text) => new Date(text).getTime(),
  to: (text) => new Date(text).getTime(),
};

const CHECKS = {
  text: (row, asked, log) => asked.every((word) => row[TEXT].includes(word)) || log.found.has(row[ID]),
  from: (row, asked) => !(row[TIME] < asked),
  to: (row, asked) => !(row[TIME] >= asked),
  service: (row, asked) => lower(row[SERVICE]).includes(asked),
  account: (row, asked) => lower(row[ACCOUNT]).includes(asked),
  user: (row, asked) => lower(row[USER]).includes(asked),
  kind: (row, asked) => row[KIND] === asked,
  source: (row, asked) => row[SOURCE] === asked,
  problem: (row, asked) => {
    if (asked === "any") return row[SEVERITY] !== null;
    if (asked === "none") return row[SEVERITY] === null && row[FAULT] === null;
    if (asked === "fault") return row[FAULT] !== null;
    return row[SEVERITY] === asked;
  },
};

export function mark(row) {
  const signs = [];
  if (row[SEVERITY] === "error") signs.push("✕ error");
  if (row[SEVERITY] === "warning") signs.push("▲ warning");
  if (row[FAULT] !== null) signs.unshift(`⊘ ${row[FAULT]}`);
  return signs.join(" ");
}

const what = (row) => (row[KIND] === "activity" ? row[ACTIVITY] ?? "no activity" : row[KIND]);

export class Log {
  // `grid` scrolls, `body` holds the rows; `onOpen` gets an event's id, `onChange` is told of new figures.
  constructor(grid, body, { onOpen, onChange }) {
    Object.assign(this, { grid, body, onOpen, onChange });
    this.rows = [];
    this.shown = [];
    this.waiting = [];
    this.products = new Map();
    this.services = new Set();
    this.found = new Set(); // what the server found in what the log does not know: attributes, headers
    this.given = [];
    this.asked = [];
    this.paused = false;
    this.active = null;
    this.problems = 0;
    this.pool = [];
    this.drawing = false;
    const narrow = matchMedia("(max-width: 760px)");
    const measure = () => { this.height = narrow.matches ? 60 : 30; this.draw(); };
    narrow.addEventListener("change", measure);
    new ResizeObserver(() => this.draw()).observe(grid);
    grid.addEventListener("scroll", () => this.draw(), { passive: true });
    body.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) { this.select(Number(row.dataset.id)); this.onOpen(this.active); }
    });
    measure();
  }

  clear() {
    this.rows = [];
    this.waiting = [];
    this.products.clear();
    this.services.clear();
    this.found.clear();
    this.grid.classList.remove("services");
    this.problems = 0;
    this.active = null;
    this.filter(this.given);
  }

  add(rows) {
    for (const row of rows) {
      this.name(row);
      row[TEXT] = lower([row[ACCOUNT], row[PRODUCT], row[USER], what(row), row[MODULE], row[SOURCE], row[FAULT], row[SERVICE]].join("\n"));
      if (row[SERVICE] && this.services.size < 2) this.services.add(row[SERVICE]);
    }
    this.grid.classList.toggle("services", this.services.size > 1);
    if (this.paused) {
      this.waiting.push(...rows);
      if (this.waiting.length > MOST + SPARE) this.waiting.splice(0, this.waiting.length - MOST);
    } else {
      this.take(rows);
    }
    this.onChange();
  }

  // The product is sent only when it is news; the account is the same ever after.
  name(row) {
    if (row[ACCOUNT] === null) return;
    if (row[PRODUCT] === null) row[PRODUCT] = this.products.get(row[ACCOUNT]) ?? null;
    else if (this.products.size < MOST) this.products.set(row[ACCOUNT], row[PRODUCT]);
  }

  take(rows) {
    const before = this.shown.length;
    for (const row of rows) {
      this.rows.push(row);
      if (row[SEVERITY] !== null) this.problems += 1;
      if (this.matches(row)) this.shown.push(row);
    }
    // Whoever reads further down keeps what they read under their eyes.
    if (this.grid.scrollTop > 0) this.grid.scrollTop += (this.shown.length - before) * this.height;
    if (this.rows.length > MOST + SPARE) this.cut();
    this.draw();
  }

  cut() {
    const gone = this.rows.splice(0, this.rows.length - MOST);
    for (const row of gone) if (row[SEVERITY] !== null) this.problems -= 1;
    const oldest = this.rows[0][ID];
    const at = this.shown.findIndex((row) => row[ID] >= oldest);
    this.shown.splice(0, at < 0 ? this.shown.length : at);
  }

  pause(paused) {
    this.paused = paused;
    const rows = this.waiting;
    this.waiting = [];
    if (!paused) this.take(rows);
    this.onChange();
  }

  // Show only rows that pass every [name, text] pair.
  filter(asked) {
    this.given = asked;
    this.found.clear();
    this.asked = asked.map(([name, text]) => [CHECKS[name], (READ[name] ?? lower)(text)]);
    this.shown = this.rows.filter((row) => this.matches(row));
    this.grid.scrollTop = 0;
    this.draw(true);
    this.onChange();
  }

  // Show these too, if the other filters let them pass.
  foundMore(ids) {
    const news = ids.filter((id) => !this.found.has(id) && this.indexOf(id) < 0);
    if (!news.length) return;
    for (const id of news) this.found.add(id);
    this.shown = this.rows.filter((row) => this.matches(row));
    this.draw(true);
    this.onChange();
  }

  get oldest() { return this.rows.length ? this.rows[0][ID] : 0; }

  // What is shown, the newest first, as CSV. What a spreadsheet would take for a formula has a ' before it.
  csv() {
    const head = ["id", "time", "account", "product", "user", "activity", "module", "source", "severity", "kind", "fault", "service"];
    const cell = (value) => {
      const text = String(value ?? "");
      return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
    };
    const lines = this.shown.toReversed().map((row) => row.slice(0, TEXT).with(TIME, new Date(row[TIME]).toISOString()));
    return [head, ...lines].map((line) => line.map(cell).join(",")).join("\r\n");
  }

  matches(row) {
    for (const [check, text] of this.asked) if (!check(row, text, this)) return false;
    return true;
  }

  indexOf(id) {
    let [from, to] = [0, this.shown.length - 1];
    while (from <= to) {
      const middle = (from + to) >> 1;
      if (this.shown[middle][ID] === id) return this.shown.length - 1 - middle;
      if (this.shown[middle][ID] < id) from = middle + 1; else to = middle - 1;
    }
    return -1;
  }

  // Move by so many rows down; from nowhere, to the first.
  move(by) {
    if (!this.shown.length) return null;
    const at = this.active === null ? -1 : this.indexOf(this.active);
    const next = at < 0 ? 0 : Math.max(0, Math.min(this.shown.length - 1, at + by));
    this.select(this.shown[this.shown.length - 1 - next][ID]);
    this.reveal(next);
    return this.active;
  }

  neighbour(id, by) {
    const at = this.indexOf(id);
    const row = at < 0 ? undefined : this.shown[this.shown.length - 1 - at - by];
    return row === undefined ? null : row[ID];
  }

  select(id) {
    this.active = id;
    const at = this.indexOf(id);
    if (at >= 0) this.reveal(at);
    this.draw(true);
  }

  get headHeight() { return this.body.offsetTop; }

  reveal(index) {
    const top = index * this.height;
    const room = this.grid.clientHeight - this.headHeight;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top + this.height > this.grid.scrollTop + room) this.grid.scrollTop = top + this.height - room;
  }

  draw(now = false) {
    if (now) { this.render(); return; }
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => { this.drawing = false; this.render(); });
  }

  render() {
    const count = this.shown.length;
    this.body.style.height = `${count * this.height}px`;
    this.grid.setAttribute("aria-rowcount", count + 1);
    const first = Math.max(0, Math.floor(this.grid.scrollTop / this.height) - AROUND);
    const last = Math.min(count, Math.ceil((this.grid.scrollTop + this.grid.clientHeight) / this.height) + AROUND);
    while (this.pool.length < last - first) this.pool.push(this.makeRow());
    while (this.pool.length > last - first) this.pool.pop().remove();
    for (let index = first; index < last; index += 1) {
      this.fill(this.pool[index - first], this.shown[count - 1 - index], index);
    }
    const active = this.active === null ? null : document.getElementById(`row-${this.active}`);
    if (active) this.grid.setAttribute("aria-activedescendant", active.id);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  makeRow() {
    const row = document.createElement("div");
    row.setAttribute("role", "row");
    row.cells = CELLS.map((name) => {
      const cell = document.createElement("span");
      cell.setAttribute("role", "gridcell");
      cell.className = name;
      row.append(cell);
      return cell;
    });
    this.body.append(row);
    return row;
  }

  fill(element, row, index) {
    element.id = `row-${row[ID]}`;
    element.dataset.id = row[ID];
    element.setAttribute("aria-rowindex", index + 2);
    element.setAttribute("aria-selected", row[ID] === this.active);
    element.className = `row is-${row[KIND]} is-${row[SEVERITY] ?? "good"} ${row[FAULT] === null ? "" : "is-hit"}`;
    element.style.transform = `translateY(${index * this.height}px)`;
    const texts = [
      clock.format(row[TIME]), mark(row), what(row), row[MODULE], row[ACCOUNT], row[PRODUCT], row[USER], SOURCES[row[SOURCE]] ?? "Other",
      row[SERVICE],
    ];
    element.cells.forEach((cell, at) => {
      const text = texts[at] ?? "";
      if (cell.said !== text) { cell.said = text; cell.textContent = text; cell.title = at > 1 ? text : ""; }
    });
  }
}
