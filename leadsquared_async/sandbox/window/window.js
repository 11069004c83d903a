// The window: live updates, the summary, the dialogs and the keys that work everywhere.

import { draw, setMinute } from "./chart.js";
import { startControls, update } from "./controls.js";
import { closeHistory, isHistoryOpen, openHistory, refreshHistory, startHistory } from "./history.js";
import { focusList, markOpened, refresh, startList } from "./lists.js";
import { ask, attempt, byId, el, plural, setClock, toast } from "./page.js";

const RETRY_AFTER = 2000;
const REDRAW_EVERY = 250;
const seen = { instance: null, revision: null };
let stream = null;
let leads = 0;

function listen() {
  stream?.close();
  stream = new EventSource("/_sandbox/window/events");
  stream.addEventListener("overview", (event) => {
    setLive("live", "Live");
    showOverview(JSON.parse(event.data));
  });
  stream.addEventListener("error", () => {
    setLive("lost", "Disconnected, reconnecting");
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_AFTER);
  });
}

function setLive(state, text) {
  const live = byId("live");
  if (live.dataset.state === state) return;
  live.dataset.state = state;
  live.textContent = text;
}

function showOverview(overview) {
  setClock(overview.now);
  setMinute(overview.minute);
  update(overview);
  const { counts, statuses } = overview;
  for (const name of ["calls", "limit", "requests", "leads"]) byId(`count-${name}`).textContent = counts[name].toLocaleString("en");
  byId("count-limit").classList.toggle("some", counts.limit > 0);
  byId("detail-calls").textContent = `${counts.rejected} rejected, ${plural(counts.fault, "fault")}`;
  const failed = (statuses.FAILURE ?? 0) + (statuses.ERROR ?? 0);
  byId("detail-requests").textContent = `${statuses["In-Queue"]} waiting, ${failed} failed`;
  const notice = byId("notice");
  notice.hidden = overview.misplaced_keys.length === 0;
  if (!notice.hidden) notice.textContent = `A key was sent in the wrong place: ${overview.misplaced_keys.join("; ")}`;
  if (overview.instance !== seen.instance && seen.instance !== null) closeHistory();
  if (overview.instance !== seen.instance || overview.revision !== seen.revision) {
    seen.instance = overview.instance;
    seen.revision = overview.revision;
    refresh();
    refreshHistory();
  }
}

function startDialogs() {
  const leadDialog = byId("lead-dialog");
  const resetDialog = byId("reset-dialog");
  byId("ask-lead").addEventListener("click", askLead);
  byId("cancel-lead").addEventListener("click", () => leadDialog.close());
  byId("add-attribute").addEventListener("click", () => {
    const row = attributeRow("", "");
    byId("lead-attributes").append(row);
    row.querySelector("input").focus();
  });
  byId("lead-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    await sendLead();
  });
  byId("ask-reset").addEventListener("click", () => resetDialog.showModal());
  byId("reset").addEventListener("click", async () => {
    resetDialog.close();
    await attempt(async () => {
      await ask("reset", { method: "POST" });
      toast("Sandbox reset");
    });
  });
}

function askLead() {
  leads += 1;
  const number = `${Math.floor(Date.now() / 1000) % 100000}${leads}`;
  const attributes = { FirstName: "Test", LastName: `Lead ${number}`, EmailAddress: `test.lead.${number}@example.com` };
  byId("lead-attributes").replaceChildren(...Object.entries(attributes).map(([name, value]) => attributeRow(name, value)));
  byId("lead-error").hidden = true;
  byId("lead-dialog").showModal();
  byId("lead-dialog").querySelector(".primary").focus();
}

function attributeRow(name, value) {
  const row = el(
    "div",
    { class: "attribute" },
    el("input", { value: name, "aria-label": "Attribute", placeholder: "Attribute", list: null, autocomplete: "off", spellcheck: "false", class: "name" }),
    el("input", { value, "aria-label": name ? `Value of ${name}` : "Value", placeholder: "Value", autocomplete: "off", spellcheck: "false", class: "value" }),
    el("button", { type: "button", class: "quiet", "aria-label": name ? `Remove ${name}` : "Remove the attribute", on: { click: () => row.remove() } }, "Remove"),
  );
  return row;
}

async function sendLead() {
  const rows = [...byId("lead-attributes").children].map((row) => [row.querySelector(".name").value.trim(), row.querySelector(".value").value]);
  const attributes = Object.fromEntries(rows.filter(([name]) => name));
  try {
    const { call } = await ask("window/test-lead", { method: "POST", body: { attributes } });
    byId("lead-dialog").close();
    toast(call === null ? "The call did not arrive: it got the fault “refused”" : `Call ${call} sent`);
    refresh();
  } catch (error) {
    byId("lead-error").textContent = error.message;
    byId("lead-error").hidden = false;
  }
}

const isTyping = (target) => target.matches("input:not([type=checkbox], [type=radio]), select, textarea");

function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !isTyping(event.target)) {
      event.preventDefault();
      byId("search").focus();
      byId("search").select();
    } else if (event.key === "Escape") {
      if (event.target === byId("search") && byId("search").value) return; // the browser clears it
      if (isHistoryOpen()) closeHistory();
      else closeControls();
      focusList();
    }
  });
}

function closeControls() {
  byId("panel").classList.remove("open-controls");
}

async function start() {
  byId("address").textContent = location.host;
  startHistory(() => {
    markOpened(null);
    focusList();
  });
  startList(openHistory, askLead);
  startDialogs();
  startKeys();
  byId("show-controls").addEventListener("click", () => {
    byId("panel").classList.add("open-controls");
    byId("controls-title").focus();
  });
  await startControls(() => {
    closeControls();
    byId("show-controls").focus();
  });
  listen();
  // A hidden window needs no updates, and browsers allow few connections to one host.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stream?.close();
    else listen();
  });
  setInterval(() => { if (!document.hidden) draw(); }, REDRAW_EVERY);
  new ResizeObserver(draw).observe(byId("chart"));
}

start();
