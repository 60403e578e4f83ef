// The page of 2048. The rules are Rust, compiled to game.wasm (apps/2048/page/src); this file shows
// what they say, listens to the player, and remembers the game. What the server has to do with it is in
// server.js.
//
// Top to bottom: the rules, the stored game, the board, the panels around it, the game, input.

import { $, memory } from "./common.js";
import { connect, submit } from "./server.js";

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

// ---------------------------------------------------------------- The stored game

const GAME_KEY = "landfall-2048-game";
const BEST_KEY = "landfall-2048-best";

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

/** Shows a board at once, as at the start and after a move was taken back. */
function showBoard(look, kind) {
  clearTimeout(leavingTimer);
  tiles.replaceChildren();
  tileAt.fill(null);
  look.board.forEach((exponent, cell) => {
    if (exponent > 0) addTile(cell, exponent, kind);
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
    this.begin(stored.seed, this.replay(stored.seed, stored.moves), stored.continued, "new");
  }

  /** Begins another game. The one before counts as it stands; one that is over was sent then. */
  start() {
    if (this.moves && this.state !== "over") this.submit();
    const seed = this.fixedSeed ?? randomSeed();
    this.begin(seed, this.replay(seed, ""), false, "new");
  }

  /** Plays the moves of a record; returns those that could be made. */
  replay(seed, moves) {
    this.rules.start(seed);
    return [...moves].filter((letter) => this.rules.play(LETTERS.indexOf(letter))).join("");
  }

  begin(seed, moves, continued, kind) {
    Object.assign(this, { seed, moves, continued });
    const look = this.rules.look();
    showBoard(look, kind);
    showGain(0);
    this.show(look);
  }

  /** Takes the last move back: the game is then the one of the moves before. */
  undo() {
    if (!this.moves) return;
    const moves = this.replay(this.seed, this.moves.slice(0, -1));
    this.begin(this.seed, moves, this.continued && this.rules.look().won, "still");
    announce(this.rules.look());
  }

  submit() {
    const { seed, moves, score } = this;
    submit({ seed: String(seed), moves, score });
  }

  play(direction) {
    if (this.state !== "playing" || !this.rules.play(direction)) return;
    this.moves += LETTERS[direction];
    const look = this.rules.look();
    showMove(look);
    showGain(look.points);
    announce(look);
    this.show(look);
    if (look.over) this.submit();
  }

  keepPlaying() {
    this.continued = true;
    this.show(this.rules.look());
    board.focus({ preventScroll: true });
  }

  show(look) {
    if (look.over) this.state = "over";
    else this.state = look.won && !this.continued ? "won" : "playing";
    this.score = look.score;
    board.dataset.state = this.state;
    board.dataset.moves = look.moves;
    $("board-text").textContent = boardText(look);
    showScore(look);
    showLadder(look);
    showOverlay(this.state, look);
    $("undo").disabled = look.moves === 0;
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

const UNDO_KEYS = ["KeyU", "KeyZ", "Backspace"];

function listenToKeys(session) {
  document.addEventListener("keydown", (event) => {
    // Letters that are typed into a field are no moves.
    if (event.target instanceof HTMLInputElement) return;
    const withControl = event.ctrlKey || event.metaKey;
    if (event.altKey || (withControl && (event.code !== "KeyZ" || event.shiftKey))) return;
    if (UNDO_KEYS.includes(event.code || event.key)) {
      event.preventDefault();
      session.undo();
      return;
    }
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
  $("undo").addEventListener("click", () => session.undo());
  $("keep-playing").addEventListener("click", () => session.keepPlaying());
}

// ---------------------------------------------------------------- Start

let session = null;
makeLadder();
try {
  session = new Session(await Rules.load());
  session.resume();
  listenToKeys(session);
  listenToSwipes(session);
  listenToButtons(session);
} catch (error) {
  board.dataset.state = "failed";
  $("notice").textContent = `The game could not be loaded (${error.message}). Reload the page to try again.`;
  $("notice").hidden = false;
}
connect(() => session?.score ?? 0);
