// What all parts of the window share: elements, requests to the sandbox, and texts. Values of calls and leads
// become text nodes, never HTML.

export const byId = (id) => document.getElementById(id);

// An element; children are elements or text. `on` has its listeners.
export function el(tag, { class: names, on = {}, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  if (names) node.className = names;
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const [event, listener] of Object.entries(on)) node.addEventListener(event, listener);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// Make the children of `parent` those of `items`, in order. A child whose item has not changed stays as it is, and
// one that has changed keeps what is open and focused in it.
export function show(parent, items, keyOf, build) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstChild;
  for (const item of items) {
    const key = String(keyOf(item));
    const content = JSON.stringify(item);
    let child = before.get(key);
    before.delete(key);
    if (!child || child.content !== content) {
      const built = build(item);
      built.dataset.key = key;
      built.content = content;
      if (child) {
        if (place === child) place = child.nextSibling;
        replace(child, built);
      }
      child = built;
    }
    if (child === place) place = place.nextSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of before.values()) child.remove();
}

function replace(old, built) {
  const open = [...old.querySelectorAll("details")].map((details) => details.open);
  [...built.querySelectorAll("details")].forEach((details, index) => { details.open = open[index] ?? details.open; });
  const focusable = "summary, button, a, input";
  const focused = [...old.querySelectorAll(focusable)].indexOf(document.activeElement);
  old.replaceWith(built);
  if (focused >= 0) built.querySelectorAll(focusable)[focused]?.focus();
}

// The sandbox's answer as JSON; an Error with its message if it rejects the request.
export async function ask(path, { method = "GET", body } = {}) {
  const options = { method, headers: {} };
  if (method !== "GET") {
    options.headers["content-type"] = "application/json";
    if (body !== undefined) options.body = JSON.stringify(body);
  }
  const response = await fetch(`/_sandbox/${path}`, options);
  const content = response.status === 204 ? null : await response.json();
  if (!response.ok) throw new Error(content.error);
  return content;
}

let shownToast;

export function toast(text, isError = false) {
  const place = byId("toast");
  clearTimeout(shownToast);
  place.textContent = text;
  place.dataset.state = isError ? "error" : "done";
  shownToast = setTimeout(() => { place.textContent = ""; }, 6000);
}

// Run an action, and show why it failed.
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    toast(error instanceof TypeError ? "The sandbox is not responding" : error.message, true);
    return undefined;
  }
}

// The sandbox's clock starts at 0; `at` makes a time of day of its seconds.
let started = 0;

export function setClock(now) {
  started = Date.now() / 1000 - now;
}

export const sandboxNow = () => Date.now() / 1000 - started;

const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export function at(seconds) {
  const date = new Date((started + seconds) * 1000);
  return el("time", { datetime: date.toISOString(), title: `${seconds.toFixed(3)} s after the start` }, timeOfDay.format(date));
}

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

export function duration(seconds) {
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 120) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}

const TONES = { ok: "answered", limit: "over the limit", rejected: "rejected", fault: "fault" };

export const toneOf = (call) => TONES[call.tone];

// A call's outcome, coloured by its tone.
export const badge = (call) => el("span", { class: `badge ${call.tone}` }, call.outcome);

const STATES = { "In-Queue": "waiting", Success: "ok", FAILURE: "rejected", ERROR: "fault" };

// A request's status, coloured, with the word beside the mark.
export const state = (status) => el("span", { class: `state ${STATES[status] ?? ""}` }, status);

export const sizeOf = (bytes) => (bytes < 1024 ? `${bytes} bytes` : `${(bytes / 1024).toFixed(1)} KiB`);

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const LONGEST_COLOURED = 40000;

// A body as text, with JSON coloured, and a button that copies it.
export function code(text, label) {
  const lines = el("code");
  let place = 0;
  if (text.length <= LONGEST_COLOURED && /^\s*[[{]/.test(text)) {
    for (const match of text.matchAll(TOKEN)) {
      lines.append(text.slice(place, match.index));
      const [token, string, colon] = match;
      const kind = colon ? "name" : string ? "string" : "literal";
      lines.append(el("span", { class: kind }, string ?? token), colon ?? "");
      place = match.index + token.length;
    }
  }
  lines.append(text.slice(place));
  const copy = el("button", { type: "button", class: "copy", "aria-label": `Copy ${label}`, on: { click: () => copied(text) } }, "Copy");
  return el("div", { class: "code" }, el("pre", { tabindex: "0", "aria-label": label }, lines), copy);
}

async function copied(text) {
  await attempt(async () => {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  });
}
