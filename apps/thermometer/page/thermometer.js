// The thermometer's page: readings come as server-sent events, all that the server has and then each.
//
// Top to bottom: what is known, the chart, the texts, the connection.

const $ = (id) => document.getElementById(id);

/** Readings, oldest first: `at` in this browser's milliseconds, `celsius` null where the sensor failed. */
let readings = [];
let known = { board: "", source: "", interval_ms: 5000, capacity: 1, failed: 0 };
/** Between the server's time since boot and this browser's clock. */
let boot = 0;

function toReading({ uptime_ms, celsius, error }) {
  return { at: boot + uptime_ms, celsius, error };
}

// ---------------------------------------------------------------- The chart

const NAMESPACE = "http://www.w3.org/2000/svg";
const MARGIN = { left: 44, right: 12, top: 12, bottom: 24 };
const TICKS = [0.5, 1, 2, 5, 10, 20, 50];
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 172_800];

function element(name, attributes, text) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The stretches in which the sensor answered. */
function stretches() {
  const found = [[]];
  for (const reading of readings) {
    if (reading.celsius === null) found.push([]);
    else found.at(-1).push(reading);
  }
  return found.filter((stretch) => stretch.length > 0);
}

function draw() {
  const chart = $("chart");
  const { width, height } = chart.getBoundingClientRect();
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.replaceChildren();
  if (readings.length === 0 || width === 0) return;

  const values = readings.map((it) => it.celsius).filter((it) => it !== null);
  const lowest = Math.min(...values, ...(values.length ? [] : [0]));
  const highest = Math.max(...values, ...(values.length ? [] : [1]));
  const wanted = (highest - lowest + 1) / 5;
  const tick = TICKS.find((it) => it >= wanted) ?? 100;
  const bottom = Math.floor((lowest - tick / 2) / tick) * tick;
  const top = Math.ceil((highest + tick / 2) / tick) * tick;
  const end = readings.at(-1).at;
  const span = Math.max(end - readings[0].at, 12 * known.interval_ms);

  const right = width - MARGIN.right;
  const floor = height - MARGIN.bottom;
  const x = (at) => right - ((end - at) / span) * (right - MARGIN.left);
  const y = (celsius) => floor - ((celsius - bottom) / (top - bottom)) * (floor - MARGIN.top);
  const px = (number) => number.toFixed(1);

  for (let value = bottom; value <= top + tick / 100; value += tick) {
    const at = px(y(value));
    chart.append(element("path", { class: "grid", d: `M${MARGIN.left} ${at}H${px(right)}` }));
    const text = tick < 1 ? value.toFixed(1) : String(value);
    chart.append(element("text", { x: MARGIN.left - 8, y: at, "text-anchor": "end", "dominant-baseline": "middle" }, text));
  }
  const step = (SECONDS.find((it) => it * 1000 * 5 >= span) ?? 604_800) * 1000;
  for (let ago = 0; ago <= span; ago += step) {
    const at = x(end - ago);
    const anchor = ago === 0 ? "end" : at < MARGIN.left + 20 ? "start" : "middle";
    chart.append(element("text", { x: px(at), y: height - 4, "text-anchor": anchor }, ago === 0 ? "now" : `−${duration(ago)}`));
  }
  const between = x(end) - x(end - known.interval_ms);
  for (const { at, celsius } of readings) {
    if (celsius !== null) continue;
    const from = Math.max(x(at) - between, MARGIN.left);
    const to = Math.min(x(at) + between, right);
    chart.append(element("rect", { class: "gap", x: px(from), y: MARGIN.top, width: px(to - from), height: px(floor - MARGIN.top) }));
  }
  for (const stretch of stretches()) {
    const points = stretch.map((it) => `${px(x(it.at))} ${px(y(it.celsius))}`).join("L");
    const [first, last] = [px(x(stretch[0].at)), px(x(stretch.at(-1).at))];
    chart.append(element("path", { class: "area", d: `M${first} ${floor}L${points}L${last} ${floor}z` }));
    // A stretch of one reading is a dot.
    chart.append(element("path", { class: "line", d: `M${points}${stretch.length === 1 ? "h0" : ""}` }));
  }
  const last = readings.at(-1);
  if (last.celsius !== null) chart.append(element("circle", { class: "last", cx: px(x(last.at)), cy: px(y(last.celsius)), r: 4 }));
}

// ---------------------------------------------------------------- The texts

const degrees = (celsius) => celsius.toFixed(1);

function duration(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  if (milliseconds < 1000) return `${milliseconds} ms`;
  if (milliseconds < 10_000 && milliseconds % 1000 !== 0) return `${(milliseconds / 1000).toFixed(1)} s`;
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  return `${(minutes / 60).toFixed(1).replace(".0", "")} h`;
}

const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

function setText(id, text) {
  // A screen reader says a status anew when it is set anew.
  if ($(id).textContent !== text) $(id).textContent = text;
}

function tell() {
  const last = readings.at(-1);
  const answered = readings.filter((it) => it.celsius !== null);
  const values = answered.map((it) => it.celsius);
  const page = $("page");
  page.dataset.state = !last ? "waiting" : last.celsius === null ? "silent" : "answers";
  page.dataset.readings = readings.length;
  page.dataset.failed = known.failed;
  if (!last) return;

  const latest = answered.at(-1);
  setText("value", latest ? degrees(latest.celsius) : "–");
  if (last.celsius !== null) setText("state", `A reading every ${duration(known.interval_ms)}`);
  else {
    const why = last.error === "the sensor does not answer" ? "The sensor does not answer" : "The I2C bus does not work";
    setText("state", latest ? `${why}; last reading at ${clock(latest.at)}` : why);
  }
  const gaps = readings.length - answered.length;
  const period = duration(last.at - readings[0].at);
  const [lowest, highest] = [Math.min(...values), Math.max(...values)];
  const between = values.length ? `from ${degrees(lowest)} to ${degrees(highest)} °C` : "no temperature";
  const missing = gaps ? `; ${gaps} of ${readings.length} readings unanswered` : "";
  setText("summary", `The last ${period}: ${between}${missing}.`);
  const mean = values.reduce((sum, it) => sum + it, 0) / values.length;
  for (const [id, value] of Object.entries({ lowest, mean, highest })) {
    setText(id, values.length ? `${degrees(value)} °C` : "–");
  }
  setText("failed", String(known.failed));
}

function show() {
  draw();
  tell();
}

// ---------------------------------------------------------------- The connection

const LISTEN_AGAIN_MS = 5_000;

function connected(state) {
  const footer = $("served");
  footer.dataset.connection = state;
  const where = known.board ? `Served by Landfall on ${known.board}, ${known.source} sensor` : "Served by Landfall";
  setText("served", state === "offline" ? "The server does not answer; trying again" : where);
}

function listen() {
  const source = new EventSource("api/live");
  source.addEventListener("history", ({ data }) => {
    known = JSON.parse(data);
    boot = Date.now() - known.uptime_ms;
    readings = known.readings.map(toReading);
    connected("online");
    show();
  });
  source.addEventListener("reading", ({ data }) => {
    const reading = toReading(JSON.parse(data));
    if (reading.celsius === null) known.failed += 1;
    readings = [...readings, reading].slice(-known.capacity);
    show();
  });
  source.addEventListener("error", () => {
    // A browser goes on by itself after a connection that broke, but not after an answer that is no stream.
    source.close();
    connected("offline");
    setTimeout(listen, LISTEN_AGAIN_MS);
  });
}

new ResizeObserver(draw).observe($("chart"));
listen();
