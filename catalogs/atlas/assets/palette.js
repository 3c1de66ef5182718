// Colours and marks. Colours that colour-blind people can tell apart (Okabe and Ito, Color Universal Design), without
// the yellow, too pale on white, and lighter on a dark page. A dataset is a colour AND a shape: nobody can tell 33
// colours apart.

const OKABE_ITO = {
  light: ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#6f6f6f'],
  dark: ['#4ba3dc', '#f0ac1e', '#1fbf92', '#e08fc0', '#9ad6f7', '#f07a33', '#b4bac0'],
};
const SHAPES = ['circle', 'square', 'triangle', 'diamond', 'wedge', 'plus'];

// Ten of the colours of cividis (Nunez, Anderton, Renslow 2018): even steps of lightness, the same for all eyes.
const CIVIDIS = ['#00224e', '#0f3c6f', '#3b496c', '#575d6d', '#707173', '#8a8779', '#a69d75', '#c4b56c', '#e4cf5b',
  '#fee838'];
const NUM_LEVELS = 48;

const prefersDark = matchMedia('(prefers-color-scheme: dark)');
let isPrinting = false;

const isDark = () => prefersDark.matches && !isPrinting;
const okabeIto = () => OKABE_ITO[isDark() ? 'dark' : 'light'];

const PRINTED = { '--dim': '#cccccc', '--cell-low': '#eef2f6', '--cell-high': '#1f4e79', '--ring': '#000000',
  '--muted': '#444444', '--line': '#bbbbbb', '--ink': '#000000', '--surface': '#ffffff', '--accent': '#0b5cad' };

function tone(name) {
  return isPrinting ? PRINTED[name] : getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const mixed = (from, to, share) => from.map((value, k) => Math.round(value + (to[k] - value) * share));

// Without the end that the page itself comes near to.
function cividis(share) {
  const first = isDark() ? 2 : 0;
  const last = CIVIDIS.length - (isDark() ? 1 : 2);
  const at = first + Math.min(Math.max(share, 0), 1) * (last - first);
  const low = Math.min(Math.floor(at), last - 1);
  return mixed(rgb(CIVIDIS[low]), rgb(CIVIDIS[low + 1]), at - low);
}

const styleOf = (number) => ({
  colour: rgb(okabeIto()[number % okabeIto().length]),
  shape: SHAPES[Math.floor(number / okabeIto().length) % SHAPES.length],
});
const datasetStyle = (number) => styleOf(atlas.datasets[number].style);

// How points are drawn under a choice of colour: `codes` give the style of each point.
function colouring(id) {
  const grey = { colour: rgb(tone('--muted')), shape: 'circle', isUnknown: true };
  if (id === 'dataset') {
    const styles = atlas.datasets.map((_, i) => datasetStyle(i));
    return { id, title: 'dataset', kind: 'dataset', codes: datasetOf, styles };
  }
  const measure = id === 'card.domain' ? cardDomain : id === 'card.scene' ? cardScene : measureById.get(id);
  if (measure.categories) {
    const codes = Uint16Array.from(measure.values, (code) => Math.min(code, measure.categories.length));
    const styles = [...measure.categories.map((_, i) => styleOf(i)), grey];
    return { id, title: measure.title, kind: 'category', measure, codes, styles, labels: measure.categories };
  }
  const known = Float32Array.from(measure.values.filter((value) => Number.isFinite(value))).sort();
  const low = known[Math.floor(0.01 * (known.length - 1))] ?? 0;
  const high = known[Math.ceil(0.99 * (known.length - 1))] ?? 1;
  const span = high - low || 1;
  const level = (value) => Math.min(Math.max(Math.floor(((value - low) / span) * NUM_LEVELS), 0), NUM_LEVELS - 1);
  const codes = Uint16Array.from(measure.values, (value) => (Number.isFinite(value) ? level(value) : NUM_LEVELS));
  const colours = Array.from({ length: NUM_LEVELS }, (_, i) => cividis(i / (NUM_LEVELS - 1)));
  const styles = colours.map((colour) => ({ colour, shape: 'circle' }));
  return { id, title: measure.title, kind: 'number', measure, codes, styles: [...styles, grey], low, high };
}

// Outline of a mark around (0, 0), as corners; a circle has none.
function corners(shape, radius) {
  const r = radius;
  const arm = 0.36 * r;
  const long = 1.1 * r;
  return {
    square: [[-0.86, -0.86], [0.86, -0.86], [0.86, 0.86], [-0.86, 0.86]].map(([x, y]) => [x * r, y * r]),
    triangle: [[0, -1.1], [1.05, 0.8], [-1.05, 0.8]].map(([x, y]) => [x * r, y * r]),
    wedge: [[0, 1.1], [1.05, -0.8], [-1.05, -0.8]].map(([x, y]) => [x * r, y * r]),
    diamond: [[0, -1.2], [1.0, 0], [0, 1.2], [-1.0, 0]].map(([x, y]) => [x * r, y * r]),
    plus: [[-arm, -long], [arm, -long], [arm, -arm], [long, -arm], [long, arm], [arm, arm], [arm, long], [-arm, long],
      [-arm, arm], [-long, arm], [-long, -arm], [-arm, -arm]],
  }[shape];
}

function markElement(style, size = 14) {
  const middle = size / 2;
  const paint = { fill: `rgb(${style.colour.join(' ')})` };
  const outline = corners(style.shape, size * 0.36);
  const mark = outline
    ? draw('polygon', { points: outline.map(([x, y]) => `${x + middle},${y + middle}`).join(' '), ...paint })
    : draw('circle', { cx: middle, cy: middle, r: size * 0.36, ...paint });
  return draw('svg', { class: 'mark', width: size, height: size, 'aria-hidden': 'true' }, mark);
}
