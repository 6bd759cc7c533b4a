// The map: beside the tiles, the way of each one's guess across the crowds of real images (ui/ways.py). It follows the slider;
// a way and its tile are highlighted together. Where there is no map, all of this does nothing.

const map = element.querySelector(".map"), sky = element.querySelector(".sky");
const crowd_colours = [...element.querySelectorAll(".crowd")].map((crowd) => crowd.getAttribute("stroke"));
let ways = [];  // of each tile: the line, a wider one to point at, and the image at its end
let whole = null;  // the way of the run that is shown, also when a slow answer of the page's start comes after it
let trail = [];  // the places of the live frames of the newest run, until all of its way is known

function build_ways() {
  if (!map) return;
  const group = sky.querySelector(".ways");
  group.replaceChildren();
  for (const { head } of ways) head.canvas.remove();
  ways = animation.tiles.map(({ label }, n) => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    if (label != null) line.style.stroke = crowd_colours[label];
    const wide = line.cloneNode();
    wide.setAttribute("class", "wide-line");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = animation.size;
    for (const part of [line, wide, canvas]) {
      part.dataset.way = n;
      part.addEventListener("click", () => { if (!animation.live) choose(zoomed === null ? n : null); });
    }
    group.append(line, wide);
    sky.append(canvas);
    return { line, wide, head: canvas.getContext("2d") };
  });
  sky.classList.toggle("many", ways.length > 20);
}

function keep_trail(next, running) {
  if (!running && (next.live || !animation?.live)) trail = [];
  if (trail[0]?.length !== next.tiles.length) trail = [];  // a morph is drawn as many images and shown as one film
  if (!next.live?.places) return;
  if (!trail.length && next.live.from_noise) trail = [next.tiles.map(() => [0, 0])];  // the middle
  trail = [...trail, next.live.places];
}

function show_ways() {
  if (!map || !animation || !sprite) return;
  const run = animation.run ?? null;
  if (props.way?.run === run) whole = props.way;
  const all = !animation.live && whole?.run === run && whole.places;
  const places = all ? all.slice(0, frame + 1 + all.length - animation.captions.length) : trail;
  const reach = Number(sky.dataset.reach), most = Number(sky.dataset.edge);
  const edge = (part) => Math.max(-most, Math.min(most, part / reach));
  const [width, height] = animation.size;
  const guesses = animation.tracks.at(-1) in ENDS, track = guesses ? tiles.length - 1 : 0;
  const noisy = !guesses && tiles.length > 1 && (animation.live || frame < animation.captions.length - 1);  // of an illusion
  for (const [n, { line, wide, head }] of ways.entries()) {
    const d = places.map((frame, k) => `${k ? "L" : "M"}${frame[n].map((part) => edge(part) * reach)}`).join("");
    line.setAttribute("d", d);
    wide.setAttribute("d", d);
    head.canvas.hidden = !places.length;
    if (!places.length) continue;
    const [x, y] = places.at(-1)[n];
    head.canvas.style.left = `${50 * (edge(x) + 1)}%`;
    head.canvas.style.top = `${50 * (edge(y) + 1)}%`;
    head.clearRect(0, 0, width, height);
    if (noisy) dot(head, width / 2, height / 2);
    else head.drawImage(sprite, (track * ways.length + n) * width, frame * height, width, height, 0, 0, width, height);
  }
  map.querySelector("button").hidden = !all || Boolean(animation.example || animation.plays);
}

function dot(head, x, y) {
  head.fillStyle = "#fff";
  head.beginPath();
  head.arc(x, y, x / 4, 0, 2 * Math.PI);
  head.fill();
}

// One tile and its way, or, where none is pointed at, the one that is seen large.
function highlight(n) {
  n ??= zoomed;
  for (const [k, { line, head }] of ways.entries())
    for (const part of [line, head.canvas]) part.classList.toggle("far", n !== null && k !== n);
  for (const side of tiles) for (const [k, { tile }] of side.entries()) tile.classList.toggle("near", k === n && n !== zoomed);
}

function pointed_at({ target }) {
  if (!map) return;
  const tile = target.closest(".tile"), way = target.closest("[data-way]");
  highlight(tile ? [...tile.parentElement.children].indexOf(tile) : way ? Number(way.dataset.way) : null);
}

for (const event of ["pointerover", "focusin"]) element.addEventListener(event, pointed_at);
for (const event of ["pointerleave", "focusout"]) element.addEventListener(event, () => { if (map) highlight(null); });
map?.querySelector("button").addEventListener("click", () => trigger("keep_map", { frame }));
