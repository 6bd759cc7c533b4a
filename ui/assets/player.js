// The stage: tracks of tiles, like the noisy images beside the network's guesses, and a slider through time.
//
// Its value is a film (ui/player.py): a sprite with one row per frame, the tiles of the first track and then those of the
// second. While a run is under way the sprite holds one frame, the newest. All scrubbing and enlarging happens here,
// without the server.

const HOLD_MS = 1600, SIZE = 28;
const $ = (selector) => element.querySelector(selector);
const tracks = [...element.querySelectorAll(".track .tiles")];
const slider = $(".time input"), when = $(".time output"), play = $(".play"), note = $(".note"), tools = $(".tools");
let film = null, sprite = null, frame = 0, zoomed = null, timer = null, tiles = [[]];
let pressed = null;  // the tool that has the focus again when its run is done

function show(k) {
  frame = k;
  for (const [track, side] of tiles.entries())
    for (const [n, tile] of side.entries()) {
      const x = (track * film.tiles.length + n) * SIZE;
      tile.canvas.drawImage(sprite, x, frame * SIZE, SIZE, SIZE, 0, 0, SIZE, SIZE);
    }
  slider.value = film.live ? film.live.done : frame;
  when.textContent = film.captions[frame];
  slider.setAttribute("aria-valuetext", when.textContent);
}

// Columns that make the tiles large and leave few holes, unless the film asks for a number of its own.
function fit() {
  if (!film) return;
  const count = zoomed === null ? film.tiles.length : 1, gap = count > 30 ? 2 : 6;
  for (const box of tracks) {
    const padding = 2 * parseFloat(getComputedStyle(box).paddingLeft);
    const width = box.clientWidth - padding, height = box.clientHeight - padding;
    const side = (columns) => {
      const rows = Math.ceil(count / columns);
      return Math.min((width - gap * (columns - 1)) / columns, (height - gap * (rows - 1)) / rows);
    };
    const worth = (columns) => side(columns) * (count / (columns * Math.ceil(count / columns))) ** 2;
    let columns = zoomed === null ? film.columns : 1;
    if (!columns) for (let c = columns = 1; c <= count; c++) if (worth(c) > worth(columns)) columns = c;
    const size = Math.max(4, Math.floor(side(columns)));
    box.style.gap = `${gap}px`;
    box.style.gridTemplateColumns = `repeat(${columns}, ${size}px)`;
    box.classList.toggle("small", size < 48);
  }
}

function build() {
  tiles = tracks.map((box) => {
    const last = box === tracks.at(-1);
    box.replaceChildren();
    return film.tiles.map((_, n) => {
      const tile = document.createElement(last ? "button" : "div");
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = SIZE;
      tile.className = "tile";
      tile.append(canvas);
      if (last) {
        tile.type = "button";
        tile.tabIndex = n ? -1 : 0;  // one stop for all of them; the arrow keys go on
        tile.append(document.createElement("small"));
      }
      tile.addEventListener("click", () => { if (!film.live) choose(zoomed === null ? n : null); });
      box.append(tile);
      return { tile, canvas: canvas.getContext("2d") };
    });
  });
}

function label() {
  for (const [n, { tile }] of tiles.at(-1).entries()) {
    const told = film.tiles[n], caption = tile.querySelector("small");
    tile.setAttribute("aria-label", told.read ? `${told.name}, read as ${told.read}` : told.name);
    tile.title = told.name;
    tile.disabled = Boolean(film.live);
    caption.textContent = told.read || "";
    tile.classList.toggle("miss", Boolean(told.miss));
  }
}

function zoom(n) {
  if (film.live) n = null;
  zoomed = n;
  for (const side of tiles) for (const [k, { tile }] of side.entries()) tile.hidden = n !== null && k !== n;
  tools.hidden = n === null || film.example;
  note.textContent = n === null ? film.note : film.tiles[n].name;
  $(".back").hidden = n === null;
  fit();
}

function choose(n) {  // by click or key, so the focus goes along
  const before = zoomed;
  zoom(n);
  if (n !== null) $(".back").focus({ preventScroll: true });
  else focus(before);
}

function focus(n) {
  for (const [k, { tile }] of tiles.at(-1).entries()) tile.tabIndex = k === n ? 0 : -1;
  tiles.at(-1)[n].tile.focus({ preventScroll: true });
}

function pause() {
  clearTimeout(timer);
  timer = null;
  play.textContent = "▶";
  play.setAttribute("aria-label", "Play");
}

function run() {
  if (frame === film.captions.length - 1) show(0);
  else show(frame + 1);
  timer = setTimeout(run, frame === film.captions.length - 1 ? HOLD_MS : film.pace);
  play.textContent = "❚❚";
  play.setAttribute("aria-label", "Pause");
}

async function update() {
  const next = props.value;
  if (!next || !next.sprite) return;
  const image = new Image();
  image.src = next.sprite;
  await image.decode();
  if (props.value !== next && props.value.sprite !== next.sprite) return;  // a newer one is on its way
  const same = film && film.tiles.length === next.tiles.length && film.columns === next.columns;
  const running = film && film.live && next.live;
  film = next;
  sprite = image;
  element.dataset.state = film.live ? "running" : film.example ? "example" : "done";
  if (!running) pause();
  if (!same) build();
  slider.max = film.live ? film.live.of : film.captions.length - 1;
  slider.disabled = play.disabled = Boolean(film.live);
  if (!running) {
    label();
    zoom(film.zoomed ?? null);
    if (zoomed !== null && document.activeElement === document.body) pressed?.focus({ preventScroll: true });
  }
  show(film.captions.length - 1);
  if (film.example && !matchMedia("(prefers-reduced-motion: reduce)").matches) run();
}

slider.addEventListener("input", () => { pause(); show(Number(slider.value)); });
play.addEventListener("click", () => (timer ? pause() : run()));
$(".back").addEventListener("click", () => choose(null));
for (const name of ["redraw", "reseed", "keep"])
  $(`.${name}`).addEventListener("click", () => {
    pressed = $(`.${name}`);
    if (name === "keep" || !document.querySelector("#generate").disabled) trigger(name, { tile: zoomed });
  });
element.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && zoomed !== null) choose(null);
  const n = tiles.at(-1).findIndex(({ tile }) => tile === document.activeElement);
  const columns = getComputedStyle(tracks.at(-1)).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (n < 0 || zoomed !== null || !step || !tiles.at(-1)[n + step]) return;
  event.preventDefault();
  focus(n + step);
});
new ResizeObserver(fit).observe(tracks[0]);
watch("value", update);
update();
