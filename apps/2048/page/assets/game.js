// The page of 2048. The rules are Rust, compiled to game.wasm (apps/2048/page/src); this file shows
// what they say, listens to the player, and remembers the game.
//
// Top to bottom: the rules, memory, the board, the panels around it, the game, input, who serves it.

const $ = (id) => document.getElementById(id);
const SIDE = 4;
const UP = 0, RIGHT = 1, DOWN = 2, LEFT = 3;
const LETTERS = "urdl";

// ---------------------------------------------------------------- The rules

// Words of the view: see apps/2048/page/src/view.rs.
const VIEW = { state: 0, score: 1, moves: 2, points: 3, spawned: 4, wayCount: 5, board: 6, ways: 22 };
const VIEW_WORDS = 38;
const NO_TILE = 0xffffffff;
const STATES = [
  { won: false, over: false },
  { won: true, over: false },
  { won: false, over: true },
  { won: true, over: true },
];
const MOVED = 1;

/** The rules behind game.wasm. */
class Rules {
  static async load() {
    const { instance } = await WebAssembly.instantiateStreaming(fetch("game.wasm"));
    return new Rules(instance.exports);
  }

  constructor(exports) {
    this.exports = exports;
  }

  start(seed) {
    this.exports.new_game(Number(seed & 0xffffffffn), Number(seed >> 32n));
  }

  /** Slides the tiles; true if that changed the board. */
  play(direction) {
    return this.exports.play(direction) === MOVED;
  }

  /** What the game looks like now, and what the last move did. */
  look() {
    const words = new Uint32Array(this.exports.memory.buffer, this.exports.view(), VIEW_WORDS);
    const spawned = words[VIEW.spawned];
    const ways = words.slice(VIEW.ways, VIEW.ways + words[VIEW.wayCount]);
    return {
      ...STATES[words[VIEW.state]],
      score: words[VIEW.score],
      moves: words[VIEW.moves],
      points: words[VIEW.points],
      board: Array.from(words.slice(VIEW.board, VIEW.board + SIDE * SIDE)),
      spawned: spawned === NO_TILE ? null : { cell: spawned & 0xff, exponent: spawned >> 8 },
      ways: Array.from(ways, (word) => ({
        from: word & 0xff,
        to: (word >> 8) & 0xff,
        exponent: (word >> 16) & 0xff,
        merged: word >> 24 === 1,
      })),
    };
  }
}

// ---------------------------------------------------------------- Memory

const GAME_KEY = "landfall-2048-game";
const BEST_KEY = "landfall-2048-best";

/** The browser's storage, or nothing at all where it is switched off or full. */
const memory = {
  read(key) {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  write(key, value) {
    try {
      localStorage.setItem(key, value);
    } catch {
      // The game goes on; it will not survive a reload.
    }
  },
};

/** The stored game, if there is one that can be read: seed, moves and whether 2048 was passed. */
function storedGame() {
  try {
    const { seed, moves, continued } = JSON.parse(memory.read(GAME_KEY));
    if (!/^\d{1,20}$/.test(seed) || !/^[urdl]*$/.test(moves)) return null;
    return { seed: BigInt.asUintN(64, BigInt(seed)), moves, continued: continued === true };
  } catch {
    return null;
  }
}

/** The seed in the address (`?seed=123`), which then holds for every game on this page. */
function seedInAddress() {
  const text = new URLSearchParams(location.search).get("seed");
  return text && /^\d{1,20}$/.test(text) ? BigInt.asUintN(64, BigInt(text)) : null;
}

function randomSeed() {
  return crypto.getRandomValues(new BigUint64Array(1))[0];
}

// ---------------------------------------------------------------- The board

const board = $("board");
const tiles = $("tiles");
const SLIDE_MS = 110;

/** The tile in each cell, by the cell's number in reading order. */
let tileAt = new Array(SIDE * SIDE).fill(null);
let leavingTimer = 0;

function place(tile, cell) {
  tile.dataset.row = Math.floor(cell / SIDE);
  tile.dataset.column = cell % SIDE;
}

function addTile(cell, exponent, kind) {
  const value = 2 ** exponent;
  const tile = document.createElement("div");
  tile.className = `tile ${kind}`;
  tile.dataset.value = value;
  tile.dataset.digits = String(value).length;
  place(tile, cell);
  const face = document.createElement("div");
  face.className = "face";
  face.textContent = value;
  tile.append(face);
  tiles.append(tile);
  tileAt[cell] = tile;
}

function removeLeaving() {
  clearTimeout(leavingTimer);
  for (const tile of tiles.querySelectorAll(".leaving")) tile.remove();
}

/** Shows a board at once, as at the start and after a reload. */
function showBoard(look) {
  clearTimeout(leavingTimer);
  tiles.replaceChildren();
  tileAt.fill(null);
  look.board.forEach((exponent, cell) => {
    if (exponent > 0) addTile(cell, exponent, "new");
  });
}

/**
 * Shows a move. The elements of class `tile` are those of the new board from the first moment on;
 * pairs that have become one go on as `leaving` until they have slid into place.
 */
function showMove(look) {
  removeLeaving();
  const before = tileAt;
  tileAt = new Array(SIDE * SIDE).fill(null);
  for (const { from, to, exponent, merged } of look.ways) {
    const tile = before[from];
    tile.className = merged ? "leaving" : "tile";
    place(tile, to);
    if (!merged) tileAt[to] = tile;
    else if (!tileAt[to]) addTile(to, exponent + 1, "merged");
  }
  addTile(look.spawned.cell, look.spawned.exponent, "new");
  leavingTimer = setTimeout(removeLeaving, SLIDE_MS);
}

/** The board in words, for those who do not see it. */
function boardText(look) {
  const rows = [];
  for (let row = 0; row < SIDE; row += 1) {
    const cells = look.board.slice(row * SIDE, (row + 1) * SIDE);
    const words = cells.map((exponent) => (exponent > 0 ? 2 ** exponent : "empty"));
    rows.push(`Row ${row + 1}: ${words.join(", ")}.`);
  }
  return rows.join(" ");
}

// ---------------------------------------------------------------- The panels around it

const LADDER_STEPS = 11;

function makeLadder() {
  for (let exponent = 1; exponent <= LADDER_STEPS; exponent += 1) {
    const step = document.createElement("li");
    step.dataset.value = 2 ** exponent;
    $("ladder").append(step);
  }
}

function showLadder(look) {
  const highest = Math.max(...look.board);
  [...$("ladder").children].forEach((step, index) => {
    step.classList.toggle("reached", index < highest);
  });
}

function showGain(points) {
  const gain = $("gain");
  gain.classList.remove("shown");
  if (points === 0) return;
  gain.textContent = `+${points}`;
  // Reading a layout property lets the animation start anew.
  void gain.offsetWidth;
  gain.classList.add("shown");
}

function showScore(look) {
  const best = Math.max(look.score, Number(memory.read(BEST_KEY)) || 0);
  if (look.score === best) memory.write(BEST_KEY, String(best));
  $("score").textContent = look.score;
  $("best").textContent = best;
}

function announce(look) {
  const gained = look.points > 0 ? `plus ${look.points}, ` : "";
  $("status").textContent = `${gained}score ${look.score}`;
}

function showOverlay(state, look) {
  const overlay = $("overlay");
  overlay.hidden = state === "playing";
  if (overlay.hidden) return;
  const won = state === "won";
  $("overlay-title").textContent = won ? "Landfall!" : "No way left";
  $("overlay-text").textContent = won
    ? `2048 in ${look.moves} moves. The summit is yours; the sky is higher.`
    : `${look.score} points in ${look.moves} moves, up to ${2 ** Math.max(...look.board)}.`;
  $("keep-playing").hidden = !won;
  (won ? $("keep-playing") : $("play-again")).focus({ preventScroll: true });
}

// ---------------------------------------------------------------- The game

/** The game that is being played: its rules, seed, moves so far, and whether 2048 was passed. */
class Session {
  constructor(rules) {
    this.rules = rules;
    this.fixedSeed = seedInAddress();
  }

  /** Goes on with the stored game if it is the one that the address asks for. */
  resume() {
    const stored = storedGame();
    if (!stored || (this.fixedSeed !== null && this.fixedSeed !== stored.seed)) {
      return this.start();
    }
    this.rules.start(stored.seed);
    const made = [...stored.moves].filter((letter) => this.rules.play(LETTERS.indexOf(letter)));
    this.begin(stored.seed, made.join(""), stored.continued);
  }

  start() {
    const seed = this.fixedSeed ?? randomSeed();
    this.rules.start(seed);
    this.begin(seed, "", false);
  }

  begin(seed, moves, continued) {
    Object.assign(this, { seed, moves, continued });
    const look = this.rules.look();
    showBoard(look);
    showGain(0);
    this.show(look);
  }

  play(direction) {
    if (this.state !== "playing" || !this.rules.play(direction)) return;
    this.moves += LETTERS[direction];
    const look = this.rules.look();
    showMove(look);
    showGain(look.points);
    announce(look);
    this.show(look);
  }

  keepPlaying() {
    this.continued = true;
    this.show(this.rules.look());
    board.focus({ preventScroll: true });
  }

  show(look) {
    if (look.over) this.state = "over";
    else this.state = look.won && !this.continued ? "won" : "playing";
    board.dataset.state = this.state;
    board.dataset.moves = look.moves;
    $("board-text").textContent = boardText(look);
    showScore(look);
    showLadder(look);
    showOverlay(this.state, look);
    const { seed, moves, continued } = this;
    memory.write(GAME_KEY, JSON.stringify({ seed: String(seed), moves, continued }));
  }
}

// ---------------------------------------------------------------- Input

const KEYS = new Map([
  ["ArrowUp", UP], ["KeyW", UP], ["KeyK", UP],
  ["ArrowRight", RIGHT], ["KeyD", RIGHT], ["KeyL", RIGHT],
  ["ArrowDown", DOWN], ["KeyS", DOWN], ["KeyJ", DOWN],
  ["ArrowLeft", LEFT], ["KeyA", LEFT], ["KeyH", LEFT],
]);

function listenToKeys(session) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const direction = KEYS.get(event.code || event.key);
    if (direction === undefined) return;
    event.preventDefault();
    session.play(direction);
  });
}

const SWIPE_PIXELS = 24;

/** One slide per stroke of a finger, pen or mouse, as soon as its direction is clear. */
function listenToSwipes(session) {
  let stroke = null;
  const end = () => { stroke = null; };
  board.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    stroke = { id: event.pointerId, x: event.clientX, y: event.clientY };
    board.setPointerCapture(event.pointerId);
  });
  board.addEventListener("pointermove", (event) => {
    if (stroke?.id !== event.pointerId) return;
    const x = event.clientX - stroke.x;
    const y = event.clientY - stroke.y;
    if (Math.max(Math.abs(x), Math.abs(y)) < SWIPE_PIXELS) return;
    end();
    if (Math.abs(x) > Math.abs(y)) session.play(x > 0 ? RIGHT : LEFT);
    else session.play(y > 0 ? DOWN : UP);
  });
  board.addEventListener("pointerup", end);
  board.addEventListener("pointercancel", end);
}

function listenToButtons(session) {
  const startAnew = () => {
    session.start();
    board.focus({ preventScroll: true });
  };
  $("new-game").addEventListener("click", startAnew);
  $("play-again").addEventListener("click", startAnew);
  $("keep-playing").addEventListener("click", () => session.keepPlaying());
}

// ---------------------------------------------------------------- Who serves it

const SERVED_EVERY_MS = 30_000;

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
  const served = $("served");
  try {
    const answer = await fetch("api/info", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const { board: name, cpu, uptime_ms: uptime, heap } = await answer.json();
    const parts = [`Served by Landfall on ${name}`, cpu, `up ${duration(uptime)}`];
    if (heap) parts.push(`heap ${size(heap.used)} of ${size(heap.total)}`);
    served.textContent = parts.filter(Boolean).join(" · ");
  } catch {
    served.textContent = "The server is silent just now; the game goes on without it.";
  }
}

// ---------------------------------------------------------------- Start

makeLadder();
showServed();
setInterval(showServed, SERVED_EVERY_MS);
try {
  const session = new Session(await Rules.load());
  session.resume();
  listenToKeys(session);
  listenToSwipes(session);
  listenToButtons(session);
} catch (error) {
  board.dataset.state = "failed";
  $("notice").textContent = `The game could not be loaded (${error.message}). Reload the page to try again.`;
  $("notice").hidden = false;
}
