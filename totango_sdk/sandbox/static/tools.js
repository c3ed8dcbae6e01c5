// What changes something: post, resend, ignore, save and open a session.

import { count, explain } from "./parts.js";

// Returns what was answered, or null; then `wrong` says why.
export async function post(address, body, wrong, onAnswer = () => {}) {
  let said = "The sandbox does not answer. Is it still running?";
  let found = null;
  try {
    const isText = typeof body === "string" || body instanceof Blob;
    const headers = { "content-type": isText ? "application/x-ndjson" : "application/json" };
    const answer = await fetch(address, { method: "POST", headers, body: isText ? body : JSON.stringify(body) });
    const text = await answer.text();
    said = answer.ok ? "" : explain(text, answer.status);
    if (answer.ok) onAnswer(found = JSON.parse(text));
  } catch { /* said already */ }
  if (wrong) wrong.textContent = said;
  return found;
}

// Returns what opens the dialog for these events.
export function resending(dialog) {
  const form = dialog.querySelector("form");
  const [wrong, done] = [dialog.querySelector(".wrong"), dialog.querySelector(".done")];
  let ids = [];
  const isTotango = () => {
    try {
      return /(^|\.)totango\.com\.?$/i.test(new URL(form.elements.endpoint.value).hostname);
    } catch {
      return false;
    }
  };
  const ask = () => { form.querySelector(".confirm").hidden = !isTotango(); };
  form.elements.endpoint.addEventListener("input", ask);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    done.textContent = "";
    const { endpoint, confirm } = Object.fromEntries(new FormData(form));
    const host = isTotango() ? new URL(endpoint).hostname : "";
    if (host && confirm.trim() !== host) { wrong.textContent = `Nothing is sent: type ${host}, if you mean Totango itself.`; return; }
    const said = isTotango() ? { ids, endpoint, confirm: confirm.trim() } : { ids, endpoint };
    const found = await post("resend", said, wrong);
    if (!found) return;
    const bad = found.results.find((each) => each.status !== 200);
    const why = bad ? `: ${bad.error ?? `answered ${bad.status}`}` : "";
    done.textContent = `${count(found.sent)} sent`;
    wrong.textContent = found.failed ? `${count(found.failed)} not sent${why}` : "";
  });
  return (chosen) => {
    ids = chosen;
    wrong.textContent = done.textContent = "";
    form.elements.confirm.value = "";
    dialog.querySelector(".many").textContent = ids.length === 1 ? `Event ${ids[0]}` : `${count(ids.length)} events, as shown`;
    ask();
    dialog.showModal();
  };
}

export async function ignore(button, onDone) {
  const key = [button.dataset.key];
  const wrong = button.parentElement.querySelector(".wrong");
  const said = button.dataset.ignore === "add" ? { add: key } : { remove: key };
  if (await post("ignored.json", said, wrong)) onDone();
}

export function sessions(dialog, csv) {
  const form = dialog.querySelector("form");
  const [wrong, done] = [dialog.querySelector(".wrong"), dialog.querySelector(".done")];
  dialog.querySelector("#save-csv").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = "events.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [file] = form.elements.file.files;
    done.textContent = "";
    if (!file) { wrong.textContent = "Choose a file that was saved here."; return; }
    const found = await post(`session.ndjson${form.elements.replace.checked ? "?replace=1" : ""}`, file, wrong);
    if (found) done.textContent = `${count(found.opened)} events opened`;
  });
}
