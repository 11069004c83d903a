// The history of a call or a lead: its attempts, its requests, and what was sent and answered.

import { ask, at, attempt, badge, byId, code, duration, el, plural, show, sizeOf, state, toneOf } from "./page.js";

let shown = null;
let closed = () => {};

export function startHistory(onClose) {
  closed = onClose;
}

export const isHistoryOpen = () => shown !== null;

// Open `{call: number}` or `{lead: id}`, and move the focus to it.
export async function openHistory(what) {
  shown = what;
  await refreshHistory(true);
  byId("history-title")?.focus();
}

export function closeHistory() {
  if (shown === null) return;
  shown = null;
  byId("history").hidden = true;
  byId("history").replaceChildren();
  byId("panel").classList.remove("open");
  closed();
}

export async function refreshHistory(isNew = false) {
  if (shown === null) return;
  const asked = shown;
  const history = await attempt(() => ask(`window/history?${new URLSearchParams(asked)}`));
  if (asked !== shown) return;
  if (!history) closeHistory();
  else render(history, isNew);
}

function render(history, isNew) {
  const place = byId("history");
  if (isNew) place.replaceChildren();
  place.hidden = false;
  byId("panel").classList.add("open");
  const parts = [
    { part: "head", name: history.name, contact: history.contact, kind: history.kind, call: history.call?.number },
    { part: "problem", ...problemOf(history) },
    { part: "facts", lead: history.lead?.id ?? null, kind: history.kind, requests: history.requests.map(({ request_id, operation, status }) => ({ request_id, operation, status })) },
  ];
  const builders = { head: headOf, problem: problem, facts: facts, lead: leadOf, events: () => el("ol", { class: "events", "aria-label": "Timeline" }), rest: rest };
  const all = [
    ...parts.filter(({ part, text }) => part !== "problem" || text),
    ...(history.kind === "lead" ? [{ part: "lead", ...history.lead }] : []),
    { part: "events" },
    ...(history.left_out ? [{ part: "rest", count: history.left_out }] : []),
    ...(history.kind === "call" && history.lead ? [{ part: "lead", ...history.lead }] : []),
  ];
  show(place, all, ({ part }) => part, (item) => builders[item.part](item));
  show(place.querySelector(".events"), eventsOf(history), ({ key }) => key, eventOf);
  if (isNew && history.kind === "call") {
    const own = place.querySelector(`[data-key="call ${history.call.number}"] details`);
    if (own) own.open = true;
  }
}

function headOf({ name, contact, kind, call }) {
  const title = name || contact || (kind === "lead" ? "Lead" : `Call ${call}`);
  return el(
    "header",
    {},
    el("div", {}, el("p", { class: "kind" }, kind === "lead" ? "Lead" : `Call ${call}`), el("h2", { id: "history-title", tabindex: "-1" }, title), name && contact ? el("p", { class: "contact" }, contact) : null),
    el("button", { type: "button", class: "close", "aria-label": "Close the history", on: { click: closeHistory } }, "Close"),
  );
}

// Why the call was rejected, or why its request failed.
function problemOf({ kind, call, requests }) {
  if (kind === "call" && call.tone !== "ok") return { tone: call.tone, title: `${call.outcome}, ${toneOf(call)}`, text: call.why || "The sandbox gives no reason." };
  const failed = requests.findLast(({ reason, status }) => reason && status !== "Success");
  if (!failed) return { text: "" };
  const tone = failed.status === "In-Queue" ? "waiting" : "rejected";
  return { tone, title: failed.status, text: failed.reason };
}

const problem = ({ tone, title, text }) => el("div", { class: `problem ${tone}` }, el("strong", {}, title), el("p", {}, text));

function facts({ lead, requests, kind }) {
  const list = el("dl", { class: "facts" });
  const add = (name, ...values) => list.append(el("div", {}, el("dt", {}, name), el("dd", {}, ...values)));
  if (lead) {
    const id = el("code", {}, lead);
    add("Lead", kind === "lead" ? id : el("button", { type: "button", class: "link", on: { click: () => openHistory({ lead }) } }, id));
  }
  for (const request of requests.slice(-3)) add("RequestID", el("code", {}, request.request_id), state(request.status));
  if (requests.length > 3) add("", `and ${requests.length - 3} earlier requests`);
  if (requests.length === 0) add("Request", kind === "lead" ? "none; stored by a bulk call" : "none accepted");
  return list;
}

// The calls, and the ends of the requests, in order of time.
function eventsOf({ calls, requests }) {
  const submissions = calls.filter(({ operation }) => operation !== "status");
  const attempts = new Map(submissions.map((call, index) => [call.number, index + 1]));
  const events = calls.map((call) => ({ key: `call ${call.number}`, time: call.time, call, attempt: submissions.length > 1 ? attempts.get(call.number) : undefined }));
  for (const request of requests) {
    const isDone = request.finished_at !== null;
    events.push({ key: `request ${request.request_id}`, time: isDone ? request.finished_at : Infinity, request });
  }
  return events.sort((one, other) => one.time - other.time);
}

function eventOf({ call, request, attempt: number }) {
  return el("li", { class: call ? call.tone : { Success: "ok", "In-Queue": "waiting" }[request.status] ?? "rejected" }, call ? callOf(call, number) : requestOf(request));
}

function callOf(call, number) {
  const what = call.operation === "status" ? "Status poll" : number ? `${call.operation}, attempt ${number}` : call.operation;
  return el(
    "details",
    {},
    el("summary", {}, el("span", { class: "when" }, at(call.time)), badge(call), el("span", { class: "what" }, what), el("span", { class: "tone" }, toneOf(call))),
    call.why ? el("p", { class: "why" }, call.why) : null,
    el("h3", {}, "Sent"),
    el("p", { class: "line" }, el("code", {}, `${call.method} ${call.path}`)),
    pairs("Query", call.query),
    pairs("Headers", call.headers),
    bodyOf(call, "Sent body"),
    el("h3", {}, "Reply"),
    el("p", { class: "line" }, ...answerOf(call)),
    pairs("Headers", call.reply.headers),
    bodyOf(call.reply, "Reply body"),
  );
}

const NOT_SENT = {
  lost: "no reply: the connection was closed", reset: "no reply: the connection was reset", hang: "no reply: the connection stayed open",
  "half-body": "half of the body, then the connection was closed", "drip-headers": "sent slowly, headers included", "drip-body": "body sent slowly",
};

function answerOf({ reply }) {
  const how = NOT_SENT[reply.how];
  const isSent = !["lost", "reset", "hang"].includes(reply.how);
  return [el("code", {}, isSent ? `HTTP ${reply.status}` : "—"), how ? ` ${how}` : ""];
}

function bodyOf({ body, size, is_cut }, label) {
  if (!body) return el("p", { class: "none" }, "No body");
  const note = is_cut ? el("p", { class: "none" }, `Truncated: only the start of ${sizeOf(size)} is shown`) : null;
  return el("div", {}, code(body, label), note);
}

function pairs(title, list) {
  if (list.length === 0) return null;
  return el("details", { class: "pairs" }, el("summary", {}, `${title} (${list.length})`), el("dl", {}, ...list.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))));
}

function requestOf(request) {
  const isDone = request.finished_at !== null;
  const lines = [];
  if (request.lead_id) lines.push(request.matched_by ? `Updated the lead matched by ${request.matched_by}` : "Created a new lead");
  if (request.reason) lines.push(request.reason);
  if (request.system_errors) lines.push(isDone ? `After ${plural(request.system_errors, "system error")}` : `System errors: ${request.system_errors} of at most ${request.most_system_errors}`);
  return el(
    "div",
    { class: "processed" },
    el("p", {}, el("span", { class: "when" }, isDone ? at(request.finished_at) : ""), state(request.status), el("span", { class: "what" }, isDone ? `Processed after ${duration(request.finished_at - request.accepted_at)}` : "Waiting in the queue")),
    ...lines.map((line) => el("p", { class: "why" }, line)),
    request.message ? el("details", { class: "pairs" }, el("summary", {}, "Message"), code(request.message, "Status message")) : null,
  );
}

function leadOf({ attributes, activities, opportunities }) {
  return el(
    "section",
    { class: "attributes" },
    el("h3", {}, "Stored lead"),
    el("dl", {}, ...attributes.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    activities.length ? el("details", { class: "pairs" }, el("summary", {}, `Activities (${activities.length})`), el("ul", {}, ...activities.map(({ event, at: time, note }) => el("li", {}, at(time), ` ${event}`, note ? `: ${note}` : "")))) : null,
    opportunities.length ? el("details", { class: "pairs" }, el("summary", {}, `Opportunities (${opportunities.length})`), el("ul", {}, ...opportunities.map(({ event_code, at: time, note }) => el("li", {}, at(time), ` ${event_code}`, note ? `: ${note}` : "")))) : null,
  );
}

const rest = ({ count }) => el("p", { class: "none" }, `${plural(count, "earlier entry", "earlier entries")} not shown`);
