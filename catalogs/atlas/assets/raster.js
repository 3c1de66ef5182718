// Points drawn as pixels: 100,000 marks are written into the canvas's memory in some ten milliseconds, on any machine.

const SAMPLES = 4; // coverage of a pixel is counted on SAMPLES x SAMPLES places

const packed = ([red, green, blue], alpha) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;

// Pixels of a mark around its centre: {dx, dy, colour, alpha}; a darker rim keeps neighbours apart.
function sprite(style, radius, alpha = 1) {
  const outline = corners(style.shape, radius);
  const covers = (x, y, scale) =>
    outline ? isInside(x / scale, y / scale, outline) : x * x + y * y <= (radius * scale) ** 2;
  const rim = mixed(style.colour, isDark() ? [0, 0, 0] : [20, 20, 20], 0.3);
  const inner = radius > 3 ? 1 - 0.9 / radius : 2;
  const size = Math.ceil(radius * 1.25);
  const pixels = [];
  for (let dy = -size; dy <= size; dy++) {
    for (let dx = -size; dx <= size; dx++) {
      let covered = 0;
      let core = 0;
      for (let k = 0; k < SAMPLES * SAMPLES; k++) {
        const x = dx + ((k % SAMPLES) + 0.5) / SAMPLES - 0.5;
        const y = dy + (Math.floor(k / SAMPLES) + 0.5) / SAMPLES - 0.5;
        if (covers(x, y, 1)) covered++;
        if (inner > 1 || covers(x, y, inner)) core++;
      }
      if (!covered) continue;
      const opacity = Math.round((255 * alpha * covered) / SAMPLES ** 2);
      const colour = mixed(rim, style.colour, Math.min(1, core / covered));
      pixels.push({ dx, dy, alpha: opacity, colour: packed(colour, opacity) });
    }
  }
  return {
    size,
    dx: Int8Array.from(pixels, (one) => one.dx),
    dy: Int8Array.from(pixels, (one) => one.dy),
    alpha: Uint8Array.from(pixels, (one) => one.alpha),
    colour: Uint32Array.from(pixels, (one) => one.colour),
  };
}

// One colour over another, neither premultiplied.
function over(below, colour, alpha) {
  const under = below >>> 24;
  if (under === 0) return colour;
  const rest = (under * (255 - alpha)) / 255;
  const total = alpha + rest;
  let result = Math.round(total) << 24;
  for (let shift = 0; shift < 24; shift += 8) {
    const value = (((colour >>> shift) & 255) * alpha + ((below >>> shift) & 255) * rest) / total;
    result |= Math.round(value) << shift;
  }
  return result >>> 0;
}

function stamp(pixels, width, height, x, y, mark) {
  const column = Math.round(x);
  const row = Math.round(y);
  const { size, dx, dy, alpha, colour } = mark;
  const inside = column >= size && row >= size && column < width - size && row < height - size;
  if (!inside && !(column > -size && row > -size && column < width + size && row < height + size)) return;
  for (let k = 0; k < dx.length; k++) {
    const atColumn = column + dx[k];
    const atRow = row + dy[k];
    if (!inside && (atColumn < 0 || atRow < 0 || atColumn >= width || atRow >= height)) continue;
    const at = atRow * width + atColumn;
    pixels[at] = alpha[k] === 255 ? colour[k] : over(pixels[at], colour[k], alpha[k]);
  }
}

// Points in an order that favours no dataset; the same at each opening.
const shuffled = (() => {
  const order = Uint32Array.from({ length: num }, (_, i) => i);
  let seed = 20230929;
  for (let i = num - 1; i > 0; i--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((seed / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
})();

// x, y: by point, in pixels of the canvas; NaN: nowhere. Faded points first, so that none hides the others.
function rasterise(context, x, y, colours, radius) {
  const { width, height } = context.canvas;
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const marks = colours.styles.map((style) => sprite(style, radius));
  const faded = sprite({ colour: rgb(tone('--dim')), shape: 'circle' }, Math.max(radius * 0.75, 1), 0.55);
  const clear = [];
  for (const i of shuffled) {
    if (Number.isNaN(x[i]) || !isShown(i)) continue;
    const isApart = state.selected !== null && !state.selected[i];
    const isFaded = state.highlight >= 0 ? datasetOf[i] !== state.highlight : isApart;
    if (isFaded) stamp(pixels, width, height, x[i], y[i], faded);
    else clear.push(i);
  }
  for (const i of clear) stamp(pixels, width, height, x[i], y[i], marks[colours.codes[i]]);
  context.putImageData(image, 0, 0);
}
