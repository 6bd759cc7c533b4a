// The canvas: a picture that is drawn or put there by the server, and a mask over it.
//
// Its value (ui/canvas.py) holds the picture as a data URI: a drawing of ten pixels per pixel while it is free, which is then
// scaled and centred, or, once it began with a picture of the network's own size, that size exactly. The mask is of that size
// too. After every stroke the event `drawn` tells the server.

const SCALE = 10, MOST_UNDONE = 40;
const BRUSH = { draw: 22, erase: 34 };  // pixels of the drawing
const MASK_REACH = 1.6;  // pixels of the picture around the finger
const INK = 50;  // greys: what is darker is paper
const $ = (selector) => element.querySelector(selector);
const ink = $(".ink"), paint = ink.getContext("2d", { willReadFrequently: true });
const veil = $(".veil"), over = veil.getContext("2d");
const [width, height] = SIZE;  // as ui/canvas.py says
[ink.width, ink.height, veil.width, veil.height] = [width * SCALE, height * SCALE, width, height];
let mask = new Uint8Array(width * height);  // 1 is drawn anew
let exact = false, empty = true, tool = "draw", past = [], last = null, sent = null;
let cursor = null, pressed = false;  // the brush that arrow keys move, in pixels of the picture

function blank() {
  paint.fillStyle = "#000";
  paint.fillRect(0, 0, ink.width, ink.height);
}

function showMask() {
  const pixels = over.createImageData(width, height);
  for (let n = 0; n < mask.length; n++) if (mask[n]) pixels.data.set([99, 102, 241, 165], 4 * n);
  over.putImageData(pixels, 0, 0);
  $(".pad").classList.toggle("masked", mask.some(Boolean));
}

function uri(size, fill) {  // a PNG of what `fill` puts into its pixels
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = size;
  const context = canvas.getContext("2d"), pixels = context.createImageData(...size);
  fill(pixels.data);
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}

function picture() {
  if (empty) return "";
  if (!exact) return ink.toDataURL();
  const from = paint.getImageData(0, 0, ink.width, ink.height).data;
  return uri([width, height], (data) => {
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let channel = 0; channel < 4; channel++) {
          let sum = 0;  // of the square that this pixel was enlarged to
          for (let dy = 0; dy < SCALE; dy++)
            for (let dx = 0; dx < SCALE; dx++)
              sum += from[4 * ((y * SCALE + dy) * ink.width + x * SCALE + dx) + channel];
          data[4 * (y * width + x) + channel] = Math.round(sum / SCALE ** 2);
        }
  });
}

function maskPicture() {
  if (!mask.some(Boolean)) return "";
  return uri([width, height], (data) => {
    for (let n = 0; n < mask.length; n++) data.set([255 * mask[n], 255 * mask[n], 255 * mask[n], 255], 4 * n);
  });
}

function tell() {
  const value = { picture: picture(), exact, mask: maskPicture() };
  sent = JSON.stringify(value);
  props.value = value;
  trigger("drawn");
}

function remember() {
  past.push([paint.getImageData(0, 0, ink.width, ink.height), mask.slice(), exact, empty]);
  if (past.length > MOST_UNDONE) past.shift();
  $("[data-do=undo]").disabled = false;
}

function undo() {
  if (!past.length) return;
  let before;
  [before, mask, exact, empty] = past.pop();
  paint.putImageData(before, 0, 0);
  $("[data-do=undo]").disabled = !past.length;
  showMask();
  tell();
}

function clear() {
  remember();
  blank();
  mask.fill(0);
  [exact, empty] = [false, true];
  showMask();
  tell();
}

function stroke(from, to) {
  if (tool === "draw" || tool === "erase") {
    paint.strokeStyle = tool === "draw" ? "#fff" : "#000";
    paint.lineWidth = BRUSH[tool];
    paint.lineCap = paint.lineJoin = "round";
    paint.beginPath();
    paint.moveTo(...from.map((each) => each * SCALE));
    paint.lineTo(...to.map((each) => each * SCALE));
    paint.stroke();
    if (tool === "draw") empty = false;
    return;
  }
  const steps = Math.ceil(2 * Math.hypot(to[0] - from[0], to[1] - from[1])) || 1;
  for (let k = 0; k <= steps; k++) {
    const [x, y] = [0, 1].map((axis) => from[axis] + (to[axis] - from[axis]) * k / steps);
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++)
        if (Math.hypot(column + 0.5 - x, row + 0.5 - y) <= MASK_REACH) mask[row * width + column] = tool === "mask";
  }
  showMask();
}

// After a stroke. What began with a picture is free again where the eraser left nothing of it, or where the brush made it
// larger, and larger than a digit may be, unless a mask says what to draw anew on that very picture.
function settle() {
  if (exact) {
    const large = size(), before = past.at(-1);
    if (tool === "erase" && !large) [exact, empty] = [false, true];
    else if (tool === "draw" && BOX && large > BOX * SCALE && before && large > size(before[0])) exact = mask.some(Boolean);
  }
  tell();
}

// Of what is drawn, the longer side, in pixels of the drawing.
function size(image = paint.getImageData(0, 0, ink.width, ink.height)) {
  const pixels = image.data, columns = new Set(), rows = new Set();
  for (let n = 0; n < pixels.length / 4; n++)
    if (pixels[4 * n] >= INK) columns.add(n % ink.width), rows.add(Math.floor(n / ink.width));
  return Math.max(...[columns, rows].map((each) => (each.size ? Math.max(...each) - Math.min(...each) + 1 : 0)));
}

function place(event) {  // in pixels of the picture
  const box = ink.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * width, (event.clientY - box.top) / box.height * height];
}

function choose(name) {
  tool = name;
  for (const each of element.querySelectorAll("[data-tool]"))
    each.setAttribute("aria-pressed", String(each.dataset.tool === tool));
}

function showCursor() {
  const ring = $(".ring");
  ring.hidden = !cursor;
  if (cursor) [ring.style.left, ring.style.top] = [`${100 * cursor[0] / width}%`, `${100 * cursor[1] / height}%`];
  ring.classList.toggle("pressed", pressed);
}

async function load() {
  const next = props.value;
  if (!next || JSON.stringify(next) === sent) return;  // what this canvas told itself
  const read = async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    return image;
  };
  const [shown, covering] = await Promise.all([next.picture, next.mask].map((each) => (each ? read(each) : null)));
  if (past.length || !empty) remember();
  blank();
  mask.fill(0);
  [exact, empty] = [Boolean(next.exact), !shown];
  paint.imageSmoothingEnabled = false;
  if (shown) paint.drawImage(shown, 0, 0, ink.width, ink.height);
  if (covering) {
    over.clearRect(0, 0, width, height);
    over.drawImage(covering, 0, 0, width, height);
    const pixels = over.getImageData(0, 0, width, height).data;
    for (let n = 0; n < mask.length; n++) mask[n] = pixels[4 * n] > 127;
  }
  sent = JSON.stringify(next);
  showMask();
}

ink.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  event.preventDefault();
  ink.setPointerCapture(event.pointerId);
  ink.focus({ preventScroll: true });
  [cursor, pressed] = [null, false];
  showCursor();
  remember();
  last = place(event);
  stroke(last, last);
});
ink.addEventListener("pointermove", (event) => {
  if (!last) return;
  for (const each of event.getCoalescedEvents?.() || [event]) {
    const next = place(each);
    stroke(last, next);
    last = next;
  }
});
for (const name of ["pointerup", "pointercancel"])
  ink.addEventListener(name, () => {
    if (last) settle();
    last = null;
  });

ink.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
  else if (event.key === " " || event.key === "Enter") {
    cursor ||= [width / 2, height / 2];
    pressed = !pressed;
    if (pressed) {
      remember();
      stroke(cursor, cursor);
    } else settle();
  } else if (step) {
    const before = cursor || [width / 2, height / 2];
    const within = (each, most) => Math.min(Math.max(each, 0), most);
    cursor = [within(before[0] + step[0], width), within(before[1] + step[1], height)];
    if (pressed) stroke(before, cursor);
  } else return;
  event.preventDefault();
  showCursor();
});
ink.addEventListener("blur", () => {
  if (pressed) settle();
  [cursor, pressed] = [null, false];
  showCursor();
});

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.tool) choose(button.dataset.tool);
  if (button.dataset.do === "undo") undo();
  if (button.dataset.do === "clear") clear();
  if (button.dataset.mask) {
    remember();
    const rows = MASKS[button.dataset.mask];
    mask = Uint8Array.from(rows.join(""), Number);
    showMask();
    tell();
  }
});

blank();
choose("draw");
watch("value", load);
load();
