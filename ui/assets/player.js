// The player: tracks of tiles, like the noisy images beside the network's guesses, and a slider through time.
//
// Its value is an animation (ui/player.py): a sprite with one row per frame, the tiles of the first track and then those of the
// second. While a run is under way the sprite holds one frame, the newest. All scrubbing and enlarging happens here,
// without the server. The GIF of a run follows when it is made: an image of its own, which takes the place of the first track
// while the slider stands at the end, or stands below everything.

const HOLD_MS = 1600;
const $ = (selector) => element.querySelector(selector);
const start = document.querySelector.bind(document, element.querySelector(".about").dataset.start);  // the button
let tracks = [...element.querySelectorAll(".track .tiles")];
const film = new Image(), below = $(".gif");
const slider = $(".time input"), when = $(".time output"), play = $(".play"), note = $(".note"), tools = $(".tools");
const turn = $(".turn"), moment = $(".moment");
const still = matchMedia("(prefers-reduced-motion: reduce)");  // then nothing moves that nobody asked to
let animation = null, sprite = null, frame = 0, zoomed = null, timer = null, tiles = [[]];
let turned = false;  // whether the first track is seen through the view
let pressed = null;  // the tool that has the focus again when its run is done

function show(k) {
  frame = k;
  const [width, height] = animation.size;
  for (const [track, side] of tiles.entries())
    for (const [n, tile] of side.entries()) {
      const x = (track * animation.tiles.length + n) * width;
      tile.canvas.drawImage(sprite, x, frame * height, width, height, 0, 0, width, height);
    }
  slider.value = animation.live ? animation.live.done : frame;
  when.textContent = animation.captions[frame];
  slider.setAttribute("aria-valuetext", when.textContent);
  show_film();
  show_ways();
}

function show_film() {
  if (!animation) return;
  const there = has_film() && !still.matches, last = frame === animation.captions.length - 1;
  if (there && film.getAttribute("src") !== props.gif.file.url) {
    film.src = props.gif.file.url;
    const names = animation.tiles.map(({ name }) => name.split(",")[0]).join(", ");
    film.alt = `Animated GIF, ${animation.plays ? "" : "from noise to "}${names}`;
  }
  const loaded = there && film.complete && film.naturalWidth > 0;
  const ends = animation.run !== undefined && last && !timer && !still.matches && !GIF_BELOW;
  const shown = ends && loaded;  // then the GIF is the first track
  below.hidden = !(GIF_BELOW && loaded);
  film.hidden = below.hidden && !shown;
  moment.hidden = !MOMENTS || last || Boolean(timer || animation.live || animation.example);
  for (const [k, box] of tracks.entries()) {
    const name = animation.tracks[k], figure = box.closest("figure");
    figure.querySelector("figcaption").textContent = ends ? ENDS[name] : name;
    figure.classList.toggle("awaited", ends && !shown && k === 0);
  }
}

function has_film() {
  return Boolean(props.gif) && props.gif.run === animation.run;
}

// The number of tiles alone says how high they are, so that nothing jumps while frames arrive. What is wide stands one below
// the other.
function fit() {
  if (!animation) return;
  const columns = zoomed === null ? Math.min(animation.columns, animation.tiles.length) : 1;
  $(".stage").style.setProperty("--high", Math.ceil((zoomed === null ? animation.tiles.length : 1) / columns) / columns);
  $(".tracks").classList.toggle("wide", columns > (map ? 6 : 3) * Math.ceil(animation.tiles.length / animation.columns));
  for (const box of tracks) {
    box.parentElement.style.setProperty("--columns", columns);
    box.classList.toggle("small", box.clientWidth / columns < 48);
  }
  fit_film();
}

// The GIF fills its frame; of a tile that is seen large, with the part that shows this.
function fit_film() {
  const whole = Math.min(animation.columns, animation.tiles.length), rows = Math.ceil(animation.tiles.length / whole);
  const sides = [["width", "left", whole, zoomed % whole], ["height", "top", rows, Math.floor(zoomed / whole)]];
  const all = zoomed === null || GIF_BELOW;
  for (const [k, [side, start, count, place]] of sides.entries()) {
    const tile = animation.size[k], next = tile + PADDING;
    film.style[side] = all ? "" : `${(100 * (count * next - PADDING)) / tile}%`;
    film.style[start] = all ? "" : `${(-100 * place * next) / tile}%`;
  }
}

// A figure for each track, of which the last is the one to choose from.
function frame_tracks() {
  const names = animation.tracks;
  const first = $(".track");
  while (tracks.length > names.length) tracks.pop().closest(".track").remove();
  while (tracks.length < names.length) {
    const figure = first.cloneNode(true);
    first.before(figure);
    tracks.unshift(figure.querySelector(".tiles"));
    observer.observe(tracks[0]);
  }
}

function build() {
  tiles = tracks.map((box) => {
    const last = box === tracks.at(-1);
    box.replaceChildren();
    return animation.tiles.map((_, n) => {
      const tile = document.createElement(last ? "button" : "div");
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = animation.size;
      tile.className = "tile";
      tile.append(canvas);
      if (last) {
        tile.type = "button";
        tile.tabIndex = n ? -1 : 0;  // one stop for all of them; the arrow keys go on
      }
      tile.append(document.createElement("small"));
      tile.addEventListener("click", () => { if (!animation.live) choose(zoomed === null ? n : null); });
      box.append(tile);
      return { tile, canvas: canvas.getContext("2d") };
    });
  });
  build_ways();
}

function label() {
  for (const [track, side] of tiles.entries())
    for (const [n, { tile }] of side.entries()) {
      const about = animation.tiles[n];
      const reads = about.reads || [...Array(tiles.length - 1).fill(null), about];  // captions of each track
      const all = reads.flatMap((each) => each?.read || []).join("; ");
      if (tile.type === "button") tile.setAttribute("aria-label", all ? `${about.name}, read as ${all}` : about.name);
      tile.title = about.name;
      tile.disabled = Boolean(animation.live);
      tile.querySelector("small").textContent = reads[track]?.read?.replace(" %", "\u00a0%") || "";  // on one line
      tile.classList.toggle("miss", Boolean(reads[track]?.miss));
    }
}

function zoom(n) {
  if (animation.live) n = null;
  zoomed = n;
  for (const side of tiles) for (const [k, { tile }] of side.entries()) tile.hidden = n !== null && k !== n;
  tools.hidden = n === null || animation.example;
  note.textContent = n === null ? animation.note : animation.tiles[n].name;
  $(".back").hidden = n === null;
  fit();
  highlight(null);
}

// The picture itself is turned, not the tiles: what is read stands below it as before.
function show_turned(yes) {
  turned = Boolean(animation.turn) && yes;
  turn.hidden = !animation.turn;
  turn.setAttribute("aria-pressed", String(turned));
  for (const { canvas } of tiles[0]) canvas.canvas.style.transform = turned ? animation.turn : "";
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
  show_film();
  play.textContent = "▶";
  play.setAttribute("aria-label", "Play");
}

function run() {
  if (frame === animation.captions.length - 1) show(0);
  else show(frame + 1);
  if (has_film() && !GIF_BELOW && frame === animation.captions.length - 1) return pause();  // once through, back to the GIF
  timer = setTimeout(run, frame === animation.captions.length - 1 ? HOLD_MS : animation.pace);
  play.textContent = "❚❚";
  play.setAttribute("aria-label", "Pause");
}

async function update() {
  const next = props.value;
  if (!next || !next.sprite) return;
  const image = new Image();
  image.src = next.sprite;
  await image.decode();
  if (props.value !== next && props.value?.sprite !== next.sprite) return;  // a newer one is on its way
  const layout = (each) => String([each.tiles.length, each.tracks, each.columns, each.size]);
  const same = animation && layout(animation) === layout(next);
  const running = animation && animation.live && next.live;
  keep_trail(next, running);
  animation = next;
  sprite = image;
  element.dataset.state = animation.live ? "running" : animation.example ? "example" : "done";
  if (!running) pause();
  if (!same) {
    frame_tracks();
    build();
  }
  slider.max = animation.live ? animation.live.of : animation.captions.length - 1;
  slider.disabled = play.disabled = Boolean(animation.live);
  if (!running) {
    label();
    zoom(animation.zoomed ?? null);
    show_turned(false);
    if (zoomed !== null && document.activeElement === document.body) pressed?.focus({ preventScroll: true });
  }
  show(animation.captions.length - 1);
  if ((animation.example || animation.plays) && !still.matches) run();
}

slider.addEventListener("input", () => { pause(); show(Number(slider.value)); });
play.addEventListener("click", () => (timer ? pause() : run()));
$(".back").addEventListener("click", () => choose(null));
turn.addEventListener("click", () => show_turned(!turned));
moment.addEventListener("click", () => trigger("keep_moment", { tile: zoomed, frame }));
for (const name of TOOLS) {  // as ui/player.py says
  const tool = tools.querySelector(`.${name}`);
  tool.addEventListener("click", () => {
    pressed = tool;
    if (name === "keep" || !start().disabled) trigger(name, { tile: zoomed, frame });
  });
}
element.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && zoomed !== null) choose(null);
  const n = tiles.at(-1).findIndex(({ tile }) => tile === document.activeElement);
  const columns = getComputedStyle(tracks.at(-1)).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (n < 0 || zoomed !== null || !step || !tiles.at(-1)[n + step]) return;
  event.preventDefault();
  focus(n + step);
});
const observer = new ResizeObserver(fit);
observer.observe(tracks[0]);
film.className = "film";
film.hidden = true;
(GIF_BELOW ? below : tracks[0].parentElement).append(film);
film.addEventListener("load", show_film);
watch("value", update);
watch(["gif", "way"], () => { show_film(); show_ways(); });  // a player that was hidden at first does not know them yet
update();
