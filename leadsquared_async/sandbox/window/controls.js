// The controls: the limit and how it is counted, the queue's rate, and the faults.

import { at, ask, attempt, byId, duration, el, plural, sandboxNow, toast } from "./page.js";

const DEFAULT_SHARE = 100;
const RATES = [6, 60, 600, 6000];
const TAKEN = "+taken";
const ALWAYS_TAKEN = ["lost", "half-body", "drip-headers", "drip-body"];

let faults = null;
let countingTexts = {};
let changing = 0; // changes that the sandbox has not answered yet: until then, their values stay
let settledAt = 0; // until then, overviews that arrive may be older than the last answer
const SETTLING = 300; // milliseconds

// Build the controls once; `update` shows the current values.
export async function startControls(closePanel) {
  const choices = await ask("window/choices");
  countingTexts = choices.counting;
  byId("controls").replaceChildren(
    el("header", {}, el("h2", { id: "controls-title", tabindex: "-1" }, "Controls"), el("button", { type: "button", class: "close narrow-only", on: { click: closePanel } }, "Close")),
    limitSection(choices.counting),
    queueSection(),
    faultSection(choices.faults, choices.calls),
  );
}

export function update({ settings, queues, statuses, faults: current, now }) {
  if (changing || performance.now() < settledAt) return;
  faults = current;
  const { limit } = settings;
  byId("no-limit").checked = limit === null;
  for (const [id, value] of [["limit-calls", limit?.[0]], ["limit-per", limit?.[1]]]) {
    byId(id).disabled = limit === null;
    if (value !== undefined) setValue(byId(id), value);
  }
  byId("count-refused").checked = settings.count_refused;
  for (const radio of document.getElementsByName("counting")) radio.checked = radio.value === settings.counting;
  byId("counting-text").textContent = countingTexts[settings.counting];
  setValue(byId("rate"), settings.processing_rate);
  for (const button of byId("rates").children) button.setAttribute("aria-pressed", Number(button.value) === settings.processing_rate);
  const oldest = Math.max(0, ...queues.map((queue) => queue.oldest));
  const speed = settings.speed === 1 ? "" : ` The queue's clock runs at ${settings.speed}× speed.`;
  const waiting = statuses["In-Queue"];
  byId("waiting").textContent = (waiting ? `${plural(waiting, "request waiting", "requests waiting")}, the oldest for ${duration(oldest)}.` : "No requests waiting.") + speed;
  updateFaults(now);
}

function limitSection(counting) {
  const setLimit = () => {
    const calls = Number(byId("limit-calls").value);
    const per = Number(byId("limit-per").value);
    change({ limit: byId("no-limit").checked ? null : [calls || 25, per || 5] });
  };
  return el(
    "section",
    { "aria-labelledby": "limit-heading" },
    el("h3", { id: "limit-heading" }, "Rate limit"),
    el(
      "div",
      { class: "fields" },
      field("Calls", el("input", { id: "limit-calls", type: "number", min: 1, step: 1, on: { change: setLimit } })),
      field("Seconds", el("input", { id: "limit-per", type: "number", min: 0.1, step: "any", on: { change: setLimit } })),
    ),
    toggle("No limit", { id: "no-limit", on: { change: setLimit } }),
    toggle("Count calls over the limit", { id: "count-refused", on: { change: (event) => change({ count_refused: event.target.checked }) } }),
    el(
      "fieldset",
      { class: "counting" },
      el("legend", {}, "Counting algorithm"),
      el("div", { class: "choices" }, ...Object.keys(counting).map((name) => el("label", { class: "choice" }, el("input", { type: "radio", name: "counting", value: name, on: { change: () => change({ counting: name }) } }), name))),
      el("p", { class: "text", id: "counting-text" }),
    ),
  );
}

function queueSection() {
  const setRate = (rate) => change({ processing_rate: rate });
  return el(
    "section",
    { "aria-labelledby": "queue-heading" },
    el("h3", { id: "queue-heading" }, "Processing queue"),
    el("p", { id: "waiting", class: "text" }),
    el(
      "div",
      { class: "fields" },
      field("Requests per minute", el("input", { id: "rate", type: "number", min: 0.01, step: "any", on: { change: (event) => setRate(Number(event.target.value)) } })),
      el("div", { class: "segments", id: "rates", role: "group", "aria-label": "Preset rates" }, ...RATES.map((rate) => el("button", { type: "button", value: rate, on: { click: () => setRate(rate) } }, rate.toLocaleString("en")))),
    ),
  );
}

function faultSection(groups, calls) {
  const number = (name, label, factor = 1) =>
    field(label, el("input", { id: `fault-${name}`, type: "number", min: 0, step: "any", on: { change: (event) => put({ [name]: Number(event.target.value) / factor }) } }));
  return el(
    "section",
    { "aria-labelledby": "faults-heading", class: "faults" },
    el("div", { class: "title" }, el("h3", { id: "faults-heading" }, "Faults"), el("span", { class: "text", id: "faults-on" }), el("button", { type: "button", class: "quiet", id: "clear-faults", on: { click: clear } }, "Clear all")),
    el("p", { class: "text" }, "A switch applies a fault to a share of the calls; “Next call” applies it to the next call only."),
    ...Object.entries(groups).map(([group, texts]) => el("fieldset", {}, el("legend", {}, group), ...Object.entries(texts).map(([name, text]) => faultRow(name, text)))),
    el("fieldset", {}, el("legend", {}, "Outage"), outage(groups)),
    el("fieldset", {}, el("legend", {}, "Delays in seconds"), el("div", { class: "fields" }, number("latency", "Round trip"), number("jitter", "Jitter, up to"), number("tail", "Tail, mean"))),
    el("fieldset", {}, el("legend", {}, "Processing, in %"), el("div", { class: "fields" }, number("system_error", "System errors", 100), number("missing_rows", "Missing bulk rows", 100))),
    el(
      "fieldset",
      { id: "fault-calls" },
      el("legend", {}, "Calls that get faults"),
      el("p", { class: "text" }, "If none is selected, all calls get faults."),
      el("div", { class: "checks" }, ...calls.map((name) => el("label", {}, el("input", { type: "checkbox", value: name, on: { change: setCalls } }), name))),
    ),
  );
}

function faultRow(name, text) {
  const canBeTaken = name !== "refused" && !ALWAYS_TAKEN.includes(name);
  const id = `fault-${name}`;
  return el(
    "div",
    { class: "fault-row", "data-fault": name },
    el("label", { class: "switch" }, el("input", { type: "checkbox", role: "switch", id, "aria-describedby": `${id}-text`, on: { change: () => setShare(name) } }), el("strong", {}, name)),
    el("span", { class: "text", id: `${id}-text` }, text),
    el("label", { class: "share" }, el("span", { class: "hidden" }, `Share of calls with ${name}, in percent`), el("input", { type: "number", min: 0, max: 100, step: "any", value: DEFAULT_SHARE, on: { change: () => setShare(name) } }), "%"),
    canBeTaken
      ? el("button", { type: "button", class: "taken", "aria-pressed": "false", title: "The lead is accepted before the fault occurs", on: { click: (event) => { flip(event.currentTarget); setShare(name); } } }, TAKEN)
      : null,
    el("button", { type: "button", class: "quiet next", "aria-label": `${name} for the next call`, on: { click: () => next(name) } }, "Next call"),
  );
}

function outage(groups) {
  const names = Object.values(groups).flatMap((texts) => Object.keys(texts));
  return el(
    "div",
    { class: "fields" },
    field("Fault", el("select", { id: "outage-fault" }, ...names.map((name) => el("option", { selected: name === "503" }, name)))),
    field("Seconds", el("input", { id: "outage-seconds", type: "number", min: 1, step: "any", value: 30 })),
    el("button", { type: "button", id: "outage", on: { click: toggleOutage } }, "Start"),
    el("p", { class: "text", id: "outage-text" }),
  );
}

function updateFaults(now) {
  const { probabilities, outage: times, operations } = faults;
  for (const row of document.querySelectorAll(".fault-row")) {
    const name = row.dataset.fault;
    const found = [name, name + TAKEN].find((one) => probabilities[one] > 0);
    row.querySelector("[role=switch]").checked = found !== undefined;
    row.classList.toggle("on", found !== undefined);
    if (found === undefined) continue;
    setValue(row.querySelector(".share input"), percent(probabilities[found]));
    row.querySelector(".taken")?.setAttribute("aria-pressed", found.endsWith(TAKEN));
  }
  for (const name of ["latency", "jitter", "tail"]) setValue(byId(`fault-${name}`), faults[name]);
  for (const name of ["system_error", "missing_rows"]) setValue(byId(`fault-${name}`), percent(faults[name]));
  const isOut = times !== null && times[1] > now;
  byId("outage").textContent = isOut ? "End" : "Start";
  byId("outage-text").replaceChildren(...(isOut ? [`Each call gets ${faults.outage_fault} until `, at(times[1])] : []));
  for (const box of document.querySelectorAll("#fault-calls input")) box.checked = operations.includes(box.value);
  byId("faults-on").textContent = summary(isOut);
}

// The faults that are on, in a line.
function summary(isOut) {
  const on = Object.entries(faults.probabilities).filter(([, share]) => share > 0).map(([name, share]) => `${name} ${percent(share)}%`);
  if (isOut) on.unshift("outage");
  if (faults.latency || faults.jitter || faults.tail) on.push("delays");
  if (faults.system_error) on.push("system errors");
  if (faults.missing_rows) on.push("missing rows");
  return on.length ? `on: ${on.join(", ")}` : "none";
}

function setShare(name) {
  const row = document.querySelector(`.fault-row[data-fault="${name}"]`);
  const { [name]: _, [name + TAKEN]: __, ...probabilities } = faults.probabilities;
  const share = Number(row.querySelector(".share input").value) / 100;
  const full = row.querySelector(".taken")?.getAttribute("aria-pressed") === "true" ? name + TAKEN : name;
  if (row.querySelector("[role=switch]").checked) probabilities[full] = share;
  put({ probabilities });
}

async function next(name) {
  const isTaken = document.querySelector(`.fault-row[data-fault="${name}"] .taken`)?.getAttribute("aria-pressed") === "true";
  const full = isTaken ? name + TAKEN : name;
  if (await put({ script: [full] })) toast(`The next call gets the fault ${full}`);
}

function toggleOutage() {
  const now = sandboxNow();
  const isOut = faults.outage !== null && faults.outage[1] > now;
  put(isOut ? { outage: null } : { outage: [0, now + Number(byId("outage-seconds").value)], outage_fault: byId("outage-fault").value });
}

function setCalls() {
  put({ operations: [...document.querySelectorAll("#fault-calls input:checked")].map((box) => box.value) });
}

const clear = () => attempt(async () => {
  faults = await ask("faults", { method: "DELETE" });
  updateFaults(sandboxNow());
});

const change = (settings) => send("settings", settings);

async function send(page, changes) {
  changing += 1;
  const changed = await attempt(() => ask(page, { method: "PUT", body: changes }));
  changing -= 1;
  settledAt = performance.now() + SETTLING;
  return changed;
}

// Change faults; if the sandbox rejects the change, show the current ones again.
async function put(changes) {
  const changed = await send("faults", changes);
  faults = changed ?? faults;
  updateFaults(sandboxNow());
  return changed;
}

const field = (label, input) => el("label", { class: "field" }, el("span", {}, label), input);

const toggle = (label, options) => el("label", { class: "switch" }, el("input", { type: "checkbox", role: "switch", ...options }), label);

const percent = (share) => Number((share * 100).toFixed(4));

function setValue(input, value) {
  if (input !== document.activeElement) input.value = value;
}

function flip(button) {
  button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
}
