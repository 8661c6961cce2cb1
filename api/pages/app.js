// What the page knows, when it asks again, and drawing it at most a few times a second however fast alerts come.
import { h } from "./elements.js";
import { grouped, isQuiet } from "./grouped.js";
import { ask, follow, forget, remember, token, tokenFromAddress } from "./live.js";
import { draftsCard, queueCard } from "./marks.js";
import { learn, title } from "./rules.js";
import { alertCard, booksCard, caseCard, healthView, isFictional, siteCard } from "./view.js";
import { current, number, switchLanguage, word } from "./words.js";

const KEPT = 500; // alerts in memory: a replayed year brings thousands
const SHOWN = { open: 12, over: 4 }; // until a person asks for all of them
const MOST_OPEN = 200; // asked for at once
const MOST = 100; // elements drawn even then
const DRAW_MS = 250;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const WATCHED = 10; // sites whose missing rows are counted: an operator has one, an agency has the metrics
const OWN = 2; // who sees no more sites than that gets all reported hours explained; others where they look
const TROUBLE = ["suspended", "restricted", "trial", "operating"]; // what needs eyes comes first
const RULES_MS = 3_600_000; // they change with the program
const EXPLAIN_MS = 300_000; // they change once an hour, and each asks for the arithmetic of a day
const REPORTED = "&channel=so2&channel=nox&channel=pm";
const RANK = { critical: 0, major: 1, warning: 2, info: 3 };

const at = (id) => document.getElementById(id);
const isOpen = (alert) => alert.state === "firing" || alert.state === "acknowledged";

const known = { alerts: new Map(), groups: new Map(), open: 0, cases: [], drafts: [], queue: [], asked: null, sites: [], status: new Map(), reported: new Map(), books: [], missing: new Map(), health: null };
let line = "connecting";
let refused = false;
let away = false;
let following = null;
let explained = 0; // when reported hours were last put beside ours
const explaining = new Set(); // of which stacks at this moment
let unfolded = false; // all alerts, not the first of them
const chosen = { drafts: new Set(), queue: new Set() }; // what a person ticked
const drawn = new Set(); // parts to draw again

function draw(...parts) {
  if (!drawn.size) setTimeout(redraw, DRAW_MS);
  parts.forEach((part) => drawn.add(part));
}

function redraw() {
  const parts = new Set(drawn);
  drawn.clear();
  known.sites.forEach((site) => {
    site.shown = current() === "zh" ? site.name_zh : site.name;
    site.region_shown = current() === "zh" ? site.region_name_zh : site.region_name;
  });
  for (const [part, paint] of Object.entries(PAINT)) if (parts.has(part) || parts.has("all")) paint();
}

/** Replace what is in a box; what a person opened, typed or stands on stays. */
function put(id, ...children) {
  const box = at(id);
  const kept = new Map();
  for (const element of box.querySelectorAll("[data-keep]"))
    kept.set(element.dataset.keep, element.open ?? element.value ?? [element.scrollLeft, element.scrollTop]);
  const focus = box.contains(document.activeElement) ? document.activeElement.closest("[data-keep]")?.dataset.keep : null;
  box.replaceChildren(...children.flat());
  for (const element of box.querySelectorAll("[data-keep]")) {
    const value = kept.get(element.dataset.keep);
    if (element.tagName === "DETAILS") element.open = Boolean(value);
    else if (Array.isArray(value)) element.scrollTo({ left: value[0], top: value[1], behavior: "instant" });
    else if (value) element.value = value;
    if (focus && element.dataset.keep === focus) (element.querySelector(":scope > summary") ?? element).focus();
  }
}

/** A section, and the way to it. */
function show(id, shown) {
  at(id).hidden = !shown;
  document.querySelector(`nav a[href="#${id}"]`).hidden = !shown;
}

const siteOf = (code) => known.sites.find((site) => site.code === code);
const typing = (id) => at(id).contains(document.activeElement) && document.activeElement.tagName === "TEXTAREA";

const PAINT = {
  words() {
    document.documentElement.lang = current() === "zh" ? "zh-CN" : "en";
    for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
    at("language").textContent = current() === "zh" ? "English" : "中文";
    at("language").lang = current() === "zh" ? "en" : "zh";
    at("sign").textContent = word(token() ? "sign_out" : "sign_in");
  },
  line() {
    const shown = token() ? line : "public";
    at("live").textContent = word(shown);
    at("live").className = `pill ${{ live: "good", offline: "bad" }[shown] ?? ""}`;
  },
  notices() {
    const names = (sites) => [...new Set(sites)].join(", ");
    const simulated = known.sites.filter((site) => site.simulated).map((site) => site.shown);
    const fictional = known.sites.filter((site) => site.instruments.some((text) => isFictional(text.citation))).map((site) => site.region_shown);
    put("notices",
      away ? h("p.notice", { role: "alert" }, word("api_away")) : [],
      refused ? h("p.notice", { role: "alert" }, word("token_refused")) : [],
      simulated.length ? h("p.notice", {}, word("simulated_notice", { names: names(simulated) })) : [],
      fictional.length ? h("p.notice", {}, word("fictional_notice", { names: names(fictional) })) : []);
  },
  alerts() {
    if (typing("alert-list")) return draw("alerts");
    const all = [...known.alerts.values()];
    const rank = (alert) => (isOpen(alert) ? RANK[alert.severity] + (isQuiet(alert) ? 4 : 0) : alert.state === "withdrawn" ? 9 : 8); // what is quiet comes behind
    all.sort((a, b) => rank(a) - rank(b) || (a.period_start < b.period_start ? 1 : -1));
    const open = all.filter(isOpen).length;
    const counted = known.open > MOST_OPEN ? known.open : open; // more than are known here: as the API counts them
    const card = (alert) => alertCard(alert, siteOf(alert.site), acknowledge);
    const cards = [grouped(all.slice(0, open), siteOf, card, known.open > MOST_OPEN ? known.groups : new Map()), all.slice(open).map(card)];
    const shown = unfolded ? cards.flat().slice(0, MOST) : [...cards[0].slice(0, SHOWN.open), ...cards[1].slice(0, SHOWN.over)];
    const most = Math.min(cards.flat().length, MOST);
    put("alert-counts", open ? h(`span.pill.${all.some((alert) => rank(alert) < 2) ? "bad" : "warn"}`, {}, `${number(counted)} ${word("open")}`) : []);
    put("alert-list",
      !token() ? h("p.card.soft", {}, word("alerts_need_token")) : [],
      token() && !all.length ? h("p.card.soft", {}, word("no_alerts")) : [],
      shown,
      unfolded || most > shown.length ? h("button", { type: "button", onclick: () => {
        unfolded = !unfolded;
        draw("alerts");
      } }, unfolded ? word("fewer") : word("more", { n: most - shown.length })) : []);
  },
  cases() {
    if (typing("case-list")) return draw("cases");
    put("case-list", known.cases.length ? known.cases.map((file) => caseCard(file, siteOf(file.site), act)) : h("p.card.soft", {}, word("no_cases")));
  },
  marks() {
    if (typing("mark-list")) return draw("marks");
    show("marks", token() && (known.drafts.length || known.queue.length));
    put("mark-list",
      known.queue.length ? queueCard(known.queue, siteOf, chosen.queue, decide) : [],
      known.drafts.length ? draftsCard(known.drafts, siteOf, chosen.drafts, settle) : []);
  },
  sites() {
    put("site-list", known.sites.length ? known.sites.map((site) => siteCard(site, known.status.get(site.code),
      (stack) => known.reported.get(`${site.code}/${stack.code}`), (stack) => explain(site, stack).catch(() => draw("notices")))) : h("p.card.soft", {}, word("no_sites")));
    PAINT.notices();
  },
  books() {
    const sites = [...new Set(known.books.map((line) => line.site))];
    show("books", token());
    put("books-list",
      !sites.length ? h("p.card.soft", {}, word("no_books")) : [],
      sites.slice(0, MOST).map((code) => booksCard(siteOf(code), linesOf(code), known.missing.get(code))));
  },
  health() {
    if (known.health) put("health-list", healthView(known.health));
  },
};

function take(alert) {
  known.alerts.set(alert.id, alert);
  if (known.alerts.size > KEPT) {
    const over = [...known.alerts.values()].sort((a, b) => isOpen(a) - isOpen(b) || (a.period_start < b.period_start ? -1 : 1));
    over.slice(0, known.alerts.size - KEPT).forEach((old) => known.alerts.delete(old.id));
  }
}

async function acknowledge(alert, note) {
  take(await ask(`/v1/alerts/${encodeURIComponent(alert.id)}/acknowledge`, { note }));
  document.activeElement?.blur();
  draw("alerts");
}

async function act(file, action, reason) {
  await ask(`/v1/cases/${encodeURIComponent(file.id)}/actions`, { action, reason, evidence: [] });
  document.activeElement?.blur();
  await Promise.all([loadCases(), loadSites()]);
}

async function decide(ids, decision, reason) {
  await ask("/v1/marks/decisions", { ids, decision, reason });
  document.activeElement?.blur();
  await loadMarks();
}

async function settle(ids, action, reason) {
  await ask(`/v1/marks/drafts/${action}`, { ids, reason });
  document.activeElement?.blur();
  await loadMarks();
}

async function loadMarks() {
  if (!token()) return;
  const [drafts, queue] = await Promise.all([ask(`/v1/marks/drafts?limit=${MOST}`), ask("/v1/marks/queue?effects=false")]);
  known.drafts = drafts.items;
  // What accepting would change is judged anew from the rows: asked for when the marks are others, and once an hour.
  const asked = `${Math.floor(Date.now() / 3600000)} ${queue.items.flatMap((group) => group.marks.map((mark) => mark.id))}`;
  if (asked !== known.asked) known.queue = queue.items.length ? (await ask("/v1/marks/queue")).items : [];
  known.asked = asked;
  draw("marks");
}

async function loadRules() {
  learn((await ask("/v1/rules")).items);
  draw("alerts");
}

async function loadAlerts() {
  if (!token()) return;
  const [open, newest] = await Promise.all([
    ask(`/v1/alerts?state=firing&state=acknowledged&limit=${MOST_OPEN}`),
    ask("/v1/alerts?limit=50"),
  ]);
  // The list is at least as new as any event that came before it was asked for.
  [...newest.items, ...open.items].forEach(take);
  draw("alerts");
}

/** How many alerts are open, by group: a replayed year has more than a page should know. */
async function loadGroups() {
  if (!token()) return;
  const counted = await ask("/v1/alerts/groups");
  known.groups = new Map(counted.items.map((group) => [group.key, group]));
  known.open = counted.alerts;
  draw("alerts");
}

async function loadCases() {
  const page = await ask("/v1/cases?limit=50");
  known.cases = page.items;
  const trials = page.items.filter((file) => file.state === "trial" && token());
  const whole = await Promise.all(trials.map((file) => ask(`/v1/cases/${encodeURIComponent(file.id)}`)));
  known.cases = page.items.map((file) => whole.find((other) => other.id === file.id) ?? file);
  draw("cases");
}

async function loadSites() {
  const page = await ask("/v1/sites?limit=100");
  known.sites = page.items.sort((a, b) => TROUBLE.indexOf(a.state) - TROUBLE.indexOf(b.state));
  draw("sites", "alerts", "cases", "marks", "books"); // names, clocks and what is simulated wait for no month
  for (const site of known.sites) known.status.set(site.code, await statusOf(site));
  draw("sites");
}

/** The operator's view of a site; of the public's, the stacks alone. */
async function statusOf(site) {
  if (token()) return ask(`/v1/sites/${site.code}/status`);
  return { stacks: await publicStacks(site) };
}

async function publicStacks(site) {
  if (!site.now) return [];
  const day = new Intl.DateTimeFormat("en-CA", { timeZone: site.timezone, year: "numeric", month: "2-digit", day: "2-digit" });
  const month = day.format(new Date(site.now)).slice(0, 7);
  return Promise.all(site.stacks.map(async (stack) => ({
    ...stack,
    hour: {},
    month: (await ask(`/v1/stacks/${site.code}/${stack.code}/compliance?month=${month}`)).pollutants,
  })));
}

/** The lines of the newest day of a site, by its own books: a simulated site has its own clock. */
function linesOf(code) {
  const lines = known.books.filter((line) => line.site === code);
  const newest = Math.max(...lines.map((line) => Date.parse(line.hour)));
  return lines.filter((line) => Date.parse(line.hour) > newest - DAY_MS);
}

async function loadBooks() {
  if (!token()) return;
  known.books = (await ask("/v1/books?limit=1000")).items;
  const sites = known.sites.length ? known.sites : (await ask(`/v1/sites?limit=${WATCHED}`)).items;
  for (const site of sites.slice(0, WATCHED)) known.missing.set(site.code, await missingOf(site));
  draw("books");
}

/** What the register asks of the last ended hour and what is missing of it, over all stacks and channels. */
async function missingOf(site) {
  if (!site.now) return null;
  const end = Math.floor(Date.parse(site.now) / HOUR_MS) * HOUR_MS;
  const span = `from=${new Date(end - HOUR_MS).toISOString()}&to=${new Date(end).toISOString()}`;
  const { items, next } = await ask(`/v1/books/channels?site=${site.code}&${span}&limit=1000`);
  if (!items.length || next) return null;
  return items.reduce((all, line) => ({ expected: all.expected + line.expected, missing: all.missing + line.missing }), { expected: 0, missing: 0 });
}

/** What was reported of the last 24 hours of each stack: in full for few sites, for many only whether anything was. */
async function loadReported() {
  if (!token() || !known.sites.length || Date.now() - explained < EXPLAIN_MS) return;
  for (const site of known.sites.slice(0, WATCHED)) {
    for (const stack of known.status.get(site.code)?.stacks ?? []) {
      const key = `${site.code}/${stack.code}`;
      if (known.sites.length <= OWN || Array.isArray(known.reported.get(key))) await explain(site, stack);
      else known.reported.set(key, (await ask(`${lastDay(site, stack, "reported")}&limit=1`)).items.length > 0);
    }
  }
  explained = Date.now();
  draw("sites");
}

async function explain(site, stack) {
  const key = `${site.code}/${stack.code}`;
  if (explaining.has(key)) return;
  explaining.add(key);
  try {
    known.reported.set(key, (await ask(lastDay(site, stack, "reconciliation"))).items);
  } catch (error) {
    if (error.status !== 409 && error.status !== 404) throw error;
    known.reported.set(key, []); // weighted from several ducts, or gone from the register: nothing to put beside ours
  } finally {
    explaining.delete(key);
  }
  draw("sites");
}

/** The address of what was reported of a stack in the 24 hours before the running one. */
function lastDay(site, stack, what) {
  const since = Math.floor((site.now ? Date.parse(site.now) : Date.now()) / HOUR_MS) * HOUR_MS - DAY_MS;
  return `/v1/stacks/${site.code}/${stack.code}/${what}?period=3600${REPORTED}&from=${new Date(since).toISOString()}`;
}

async function loadHealth() {
  known.health = await ask("/v1/health");
  draw("health");
}

/** Do `load` now and every `every_ms`, one at a time; a failure is said on the page and tried again. */
async function keep(load, every_ms) {
  for (;;) {
    if (!document.hidden) {
      try {
        await load();
        if (away) draw("notices");
        away = false;
      } catch (error) {
        if (error.status === 401) signOut(true);
        else if (!error.status || error.status >= 500) {
          away = true;
          draw("notices");
        }
      }
    }
    await new Promise((resolve) => setTimeout(resolve, every_ms));
  }
}

function start() {
  following?.abort();
  if (!token()) return;
  following = new AbortController();
  line = "connecting";
  follow({
    signal: following.signal,
    opened: () => {
      line = "live";
      draw("line");
      loadAlerts().catch(() => draw("notices"));
    },
    event: (alert) => {
      const fresh = alert.event === "opened";
      take(alert);
      if (fresh) at("spoken").textContent = `${word("new_alert")}: ${title(alert.rule)} ${alert.site} ${alert.stack ?? ""}`;
      draw("alerts");
    },
    closed: (error) => {
      if (error.status === 401) signOut(true);
      line = "offline";
      draw("line");
      return error.status === 401;
    },
  });
}

function signOut(because = false) {
  forget();
  refused = because;
  following?.abort();
  known.alerts.clear();
  known.groups.clear();
  known.open = 0;
  known.cases = [];
  known.drafts = [];
  known.queue = [];
  known.asked = null;
  known.books = [];
  known.missing.clear();
  known.status.clear();
  known.reported.clear();
  explained = 0;
  draw("all");
  loadSites().catch(() => draw("notices"));
  loadCases().catch(() => draw("notices"));
}

function signIn(text) {
  remember(text);
  refused = false;
  draw("all");
  start();
  loadSites().then(loadReported).catch((error) => error.status === 401 && signOut(true));
  loadCases().catch(() => draw("notices"));
  loadMarks().catch(() => draw("notices"));
  loadBooks().catch(() => draw("notices"));
}

at("language").addEventListener("click", () => {
  switchLanguage();
  draw("all");
});
at("sign").addEventListener("click", () => (token() ? signOut() : at("sign-in").showModal()));
at("sign-in").addEventListener("close", () => {
  if (at("sign-in").returnValue === "ok" && at("token").value) signIn(at("token").value);
  at("token").value = "";
});
window.addEventListener("hashchange", () => {
  if (location.hash.startsWith("#token=")) {
    tokenFromAddress();
    signIn(token());
  }
});

tokenFromAddress();
PAINT.words();
PAINT.line();
PAINT.alerts();
start();
keep(loadRules, RULES_MS);
keep(loadHealth, 5000);
keep(loadGroups, 15000);
keep(loadSites, 10000);
keep(loadReported, 5000);
keep(loadCases, 5000);
keep(loadMarks, 30000);
keep(loadBooks, 30000);
