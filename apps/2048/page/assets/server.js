// What the page of 2048 has to do with its server: who else is playing, the best games, sending one's
// own, and doing without a server for a while.
//
// Top to bottom: the player, live scores, the list of the best, games that wait to be sent, who serves
// the page, the service worker, the beginning.

import { $, memory } from "./common.js";

/** Asks the server; `said` is null where the answer is not JSON. */
async function ask(path, body) {
  const post = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const answer = await fetch(path, { cache: "no-store", ...post });
  return { status: answer.status, ok: answer.ok, said: await answer.json().catch(() => null) };
}

// ---------------------------------------------------------------- The player

const NAME_KEY = "landfall-2048-name";
const PLAYER_KEY = "landfall-2048-player";

/** By this number the server knows the page again: a new one for each tab, kept in reloads. */
const secret = (() => {
  const fresh = () => Number(crypto.getRandomValues(new BigUint64Array(1))[0] >> 11n);
  try {
    const known = sessionStorage.getItem(PLAYER_KEY) ?? String(fresh());
    sessionStorage.setItem(PLAYER_KEY, known);
    return Number(known);
  } catch {
    return fresh();
  }
})();

/** The name as the server takes it. */
function playerName() {
  return [...$("name").value.replace(/\p{C}/gu, "").trim()].slice(0, 16).join("");
}

function listenToName() {
  $("name").value = memory.read(NAME_KEY) ?? "";
  $("name").addEventListener("change", () => memory.write(NAME_KEY, playerName()));
  $("player").addEventListener("submit", (event) => {
    event.preventDefault();
    $("board").focus({ preventScroll: true });
  });
}

// ---------------------------------------------------------------- Live scores

const REPORT_EVERY_MS = 2_000;
/** The server forgets a player who says nothing for 45 s. */
const REPORT_AT_LEAST_EVERY_MS = 20_000;
const LISTEN_AGAIN_MS = 15_000;

let ownScore = () => 0;
/** The number under which the server shows this page's player. */
let ownNumber = null;
let reported = { text: "", at: -Infinity };
let source = null;

/** Tells the others the score of the running game, if there is something to tell. */
async function report() {
  if (document.hidden) return;
  const body = { player: secret, name: playerName(), score: ownScore() };
  const text = JSON.stringify(body);
  const due = performance.now() - reported.at > REPORT_AT_LEAST_EVERY_MS;
  if (!due && (text === reported.text || !isOnline())) return;
  reported = { text, at: performance.now() };
  try {
    const { ok, said } = await ask("api/live", body);
    const number = ok ? said.player : null;
    if (number !== ownNumber) {
      ownNumber = number;
      showLive();
    }
  } catch {
    reported.text = "";
  }
}

/** Hears what the others do for as long as the page is seen. */
function listen() {
  source?.close();
  source = null;
  if (document.hidden) return;
  const opened = new EventSource("api/live");
  source = opened;
  opened.addEventListener("open", () => $("served").dataset.connection === "offline" && showServed());
  opened.addEventListener("message", ({ data }) => {
    heard = JSON.parse(data);
    showLive();
  });
  opened.addEventListener("error", () => {
    showConnection("offline");
    // After an answer that is no stream, as when all places are taken, browsers do not try again.
    if (opened.readyState === EventSource.CLOSED) setTimeout(() => source === opened && listen(), LISTEN_AGAIN_MS);
  });
}

let heard = { players: [], count: 0, scores: null };
let shownScores = null;

function showLive() {
  const { players, count, scores } = heard;
  $("live").replaceChildren(...players.map(({ player, name, score }) => entry(name, score, player === ownNumber)));
  const unseen = count - players.length;
  $("live-note").textContent = unseen > 0 ? `and ${unseen} more` : "";
  if (scores !== null && scores !== shownScores) showScores(scores);
}

/** A line of a list. Names are others' words: they go in as text. */
function entry(name, points, own) {
  const line = document.createElement("li");
  const who = document.createElement("span");
  who.className = "who";
  who.textContent = name;
  const score = document.createElement("span");
  score.className = "points";
  score.textContent = points;
  line.append(who, score);
  if (own) {
    line.setAttribute("aria-current", "true");
    who.append(" (you)");
  }
  return line;
}

// ---------------------------------------------------------------- The list of the best

const SCORES_SHOWN = 10;

async function showScores(version) {
  shownScores = version;
  try {
    const { said } = await ask("api/scores");
    const best = said.scores.slice(0, SCORES_SHOWN);
    $("scores").replaceChildren(...best.map(({ name, score, moves, tile }) => {
      const line = entry(name, score, false);
      line.title = `${moves} moves, up to ${tile}`;
      return line;
    }));
    $("scores-empty").hidden = best.length > 0;
  } catch {
    // The next event asks again.
    shownScores = null;
  }
}

// ---------------------------------------------------------------- Games that wait to be sent

const QUEUE_KEY = "landfall-2048-queue";
const MAX_WAITING = 5;
/** As many as the server replays. */
const MAX_MOVES = 20_000;

function waiting() {
  try {
    const games = JSON.parse(memory.read(QUEUE_KEY));
    return Array.isArray(games) ? games.slice(0, MAX_WAITING) : [];
  } catch {
    return [];
  }
}

/** Sends a game, now or when the server can be reached. Of too many that wait, the best are kept. */
export function submit(game) {
  if (game.score === 0 || game.moves.length > MAX_MOVES) return;
  const games = waiting().filter(({ seed, moves }) => seed !== game.seed || moves !== game.moves);
  games.push({ name: playerName(), ...game });
  games.sort((one, other) => other.score - one.score);
  memory.write(QUEUE_KEY, JSON.stringify(games.slice(0, MAX_WAITING)));
  sendWaiting();
}

let sending = false;

async function sendWaiting() {
  if (sending) return;
  sending = true;
  try {
    for (let game = waiting()[0]; game; game = waiting()[0]) {
      const { status, said } = await ask("api/scores", game);
      // The server asks to wait, is in trouble, or is another program.
      if (!said || status === 429 || status >= 500) break;
      const sent = JSON.stringify(game);
      memory.write(QUEUE_KEY, JSON.stringify(waiting().filter((other) => JSON.stringify(other) !== sent)));
      $("scores-note").textContent = judgement(said, game);
    }
  } catch {
    // It is still in the queue.
  } finally {
    sending = false;
    showWaiting();
  }
}

function judgement({ rank, error }, { score }) {
  if (error) return `Your ${score} points are not listed: ${error}.`;
  return rank ? `Your ${score} points are number ${rank}.` : `Your ${score} points are not among the best.`;
}

function showWaiting() {
  const count = waiting().length;
  if (count > 0) $("scores-note").textContent = `Waiting to be sent: ${count === 1 ? "a game" : `${count} games`}.`;
}

// ---------------------------------------------------------------- Who serves the page

const SERVED_EVERY_MS = 30_000;

function isOnline() {
  return $("served").dataset.connection === "online";
}

/** Notes whether the server can be reached, and what follows from that. */
function showConnection(connection) {
  const before = $("served").dataset.connection;
  if (connection === before) return;
  $("served").dataset.connection = connection;
  if (connection === "online") {
    $("live-note").textContent = "";
    sendWaiting();
  } else {
    $("served").textContent = "The server is silent just now; the game goes on without it.";
    $("live").replaceChildren();
    $("live-note").textContent = "Nobody can be heard while the server is silent.";
  }
}

function duration(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
}

function size(bytes) {
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KiB`;
  const mebibytes = bytes / 1024 / 1024;
  return `${mebibytes < 100 ? mebibytes.toFixed(1) : Math.round(mebibytes)} MiB`;
}

async function showServed() {
  if (document.hidden) return;
  try {
    const { said } = await ask("api/info");
    if (said?.app !== "2048") {
      await makeRoom();
      throw new Error("another program listens here");
    }
    const { board: name, cpu, uptime_ms: uptime, heap } = said;
    const parts = [`Served by Landfall on ${name}`, cpu, `up ${duration(uptime)}`];
    if (heap) parts.push(`heap ${size(heap.used)} of ${size(heap.total)}`);
    showConnection("online");
    $("served").textContent = parts.filter(Boolean).join(" · ");
  } catch {
    showConnection("offline");
  }
}

// ---------------------------------------------------------------- The service worker

/** Keeps the page for times without a server. Browsers have this for HTTPS and localhost only. */
function keepPage() {
  navigator.serviceWorker?.register("sw.js", { updateViaCache: "none" }).catch(() => {
    // The page works without.
  });
}

/** Whatever else is served at this address some day shall not be hidden by this page. */
async function makeRoom() {
  const registration = await navigator.serviceWorker?.getRegistration();
  await registration?.unregister();
}

// ---------------------------------------------------------------- The beginning

/** Begins to deal with the server; `score` returns that of the running game. */
export function connect(score) {
  ownScore = score;
  listenToName();
  showServed();
  setInterval(showServed, SERVED_EVERY_MS);
  setInterval(sendWaiting, SERVED_EVERY_MS);
  setInterval(report, REPORT_EVERY_MS);
  report();
  listen();
  document.addEventListener("visibilitychange", listen);
  keepPage();
}
