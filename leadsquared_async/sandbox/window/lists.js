// The list of calls or leads: newest first, searched by the sandbox, moved through by keyboard.

import { ask, at, attempt, badge, byId, el, plural, show, state, toneOf } from "./page.js";

const PAGE = 100;
const MOST = 500;

const list = { of: "calls", limit: PAGE, items: [], active: null, opened: null };
let open = () => {};
let sendTestLead = () => {};
let isLoading = false;
let isStale = false;

export function startList(openItem, sendLead) {
  open = openItem;
  sendTestLead = sendLead;
  byId("tab-calls").addEventListener("click", () => choose("calls"));
  byId("tab-leads").addEventListener("click", () => choose("leads"));
  document.querySelector(".tabs").addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    choose(list.of === "calls" ? "leads" : "calls");
    byId(`tab-${list.of}`).focus();
  });
  byId("search").addEventListener("input", restart);
  byId("search").addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      byId("rows").focus();
    }
  });
  byId("kind").addEventListener("change", restart);
  byId("load-more").addEventListener("click", () => {
    list.limit = Math.min(MOST, list.limit + PAGE);
    refresh();
  });
  const rows = byId("rows");
  rows.addEventListener("keydown", move);
  rows.addEventListener("focus", () => {
    if (list.active === null && list.items.length) activate(list.items[0].number);
  });
  rows.addEventListener("click", (event) => {
    const row = event.target.closest("[role=option]");
    if (row) openRow(Number(row.dataset.key));
  });
}

// Load the list again. While it loads, further changes are remembered and loaded once.
export async function refresh() {
  if (isLoading) {
    isStale = true;
    return;
  }
  isLoading = true;
  const search = byId("search").value.trim();
  const query = new URLSearchParams({ limit: list.limit, ...(search && { search }) });
  if (list.of === "calls") query.set("kind", byId("kind").value);
  const asked = list.of;
  const page = await attempt(() => ask(`window/${asked}?${query}`));
  isLoading = false;
  if (page && asked === list.of) render(page[asked], page.has_more, search);
  if (isStale) {
    isStale = false;
    refresh();
  }
}

export function markOpened(number) {
  list.opened = number;
  for (const row of byId("rows").children) mark(row);
}

export const focusList = () => byId("rows").focus();

function choose(which) {
  if (list.of !== which) {
    list.of = which;
    byId("rows").replaceChildren();
    for (const name of ["calls", "leads"]) {
      byId(`tab-${name}`).setAttribute("aria-selected", name === which);
      byId(`tab-${name}`).tabIndex = name === which ? 0 : -1;
    }
    byId("kind").parentElement.hidden = which === "leads";
    byId("rows").setAttribute("aria-label", which === "calls" ? "Calls, newest first" : "Leads, newest first");
    list.opened = null;
    restart();
  }
}

function restart() {
  list.limit = PAGE;
  list.active = null;
  refresh();
}

function render(items, hasMore, search) {
  list.items = items;
  show(byId("rows"), items, (item) => item.number, list.of === "calls" ? callRow : leadRow);
  for (const row of byId("rows").children) mark(row);
  if (!items.some((item) => item.number === list.active)) list.active = null;
  setActive();
  byId("rows").hidden = items.length === 0;
  byId("more").hidden = !hasMore || list.limit >= MOST;
  renderEmpty(items.length === 0, search);
}

function renderEmpty(isEmpty, search) {
  const place = byId("empty");
  place.hidden = !isEmpty;
  if (!isEmpty) return;
  const isNarrowed = list.of === "calls" && byId("kind").value !== "all";
  const key = `${list.of} ${search} ${isNarrowed}`;
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  if (search || isNarrowed) {
    place.replaceChildren(el("h2", {}, `No matching ${list.of}`), el("p", {}, search ? `Nothing contains “${search}”.` : "No calls of this kind."));
    return;
  }
  const isCalls = list.of === "calls";
  place.replaceChildren(
    el("h2", {}, isCalls ? "No calls yet" : "No leads yet"),
    el("p", {}, isCalls ? "Calls from your program appear here. Point it at this host:" : "A lead appears here once its request is processed."),
    isCalls ? el("pre", {}, el("code", {}, `LEADSQUARED_HOST=${location.origin}`)) : null,
    el("button", { type: "button", class: "primary", on: { click: () => sendTestLead() } }, "Send a test lead"),
  );
}

function callRow(call) {
  const who = call.name || call.contact || call.path;
  const about = [call.name ? call.contact : "", call.operation === "unknown" ? `${call.method} ${call.path}` : call.operation].filter(Boolean).join(" · ");
  return el(
    "div",
    { role: "option", id: `row-${call.number}`, class: "row" },
    el("span", { class: "when" }, at(call.time)),
    badge(call),
    el("span", { class: "who" }, el("strong", {}, who), el("span", { class: "about" }, about), call.why && ![`fault ${call.outcome}`, toneOf(call)].includes(call.why) ? el("span", { class: "why" }, call.why) : null),
    call.status && call.tone === "ok" ? state(call.status) : el("span", { class: `state ${call.tone}` }, toneOf(call)),
  );
}

function leadRow(lead) {
  return el(
    "div",
    { role: "option", id: `row-${lead.number}`, class: "row lead" },
    el("span", { class: "when" }, lead.time === null ? "" : at(lead.time)),
    el("span", { class: "who" }, el("strong", {}, lead.name || lead.contact || lead.id), el("span", { class: "about" }, lead.name ? lead.contact || lead.id : lead.id)),
    el("span", { class: "state" }, plural(lead.activities, "activity", "activities")),
  );
}

function mark(row) {
  const number = Number(row.dataset.key);
  row.setAttribute("aria-selected", number === list.opened);
  row.classList.toggle("active", number === list.active);
}

function setActive() {
  const rows = byId("rows");
  if (list.active === null) rows.removeAttribute("aria-activedescendant");
  else rows.setAttribute("aria-activedescendant", `row-${list.active}`);
  for (const row of rows.children) row.classList.toggle("active", Number(row.dataset.key) === list.active);
}

function activate(number) {
  list.active = number;
  setActive();
  byId(`row-${number}`)?.scrollIntoView({ block: "nearest" });
}

function openRow(number) {
  const item = list.items.find((one) => one.number === number);
  if (!item) return;
  activate(number);
  markOpened(number);
  open(list.of === "calls" ? { call: item.number } : { lead: item.id });
}

function move(event) {
  const { key } = event;
  if (key === "Enter" && list.active !== null) {
    event.preventDefault();
    openRow(list.active);
    return;
  }
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
  if (!(key in steps) || list.items.length === 0) return;
  event.preventDefault();
  const last = list.items.length - 1;
  const place = list.items.findIndex((item) => item.number === list.active);
  const next = place < 0 ? 0 : Math.min(last, Math.max(0, place + steps[key]));
  activate(list.items[next].number);
}
