// Elements are made from text nodes and attributes only: nothing of the data is ever parsed as HTML.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (name === 'on') for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === 'hidden') element.hidden = value;
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
  return element;
}

const make = (tag, props = {}, ...children) => fill(document.createElement(tag), props, children);
const draw = (tag, props = {}, ...children) => fill(document.createElementNS(SVG, tag), props, children);
const byId = (id) => document.getElementById(id);
const words = (name) => name.replaceAll('_', ' ');

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const precise = new Intl.NumberFormat('en', { maximumSignificantDigits: 3, useGrouping: false });

function formatted(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return 'unknown';
  const size = Math.abs(value);
  const text = size > 0 && size < 1e-3 ? value.toExponential(1) : (size >= 1000 ? whole : precise).format(value);
  return text.replaceAll('-', '\u2212');
}

const percent = (share) => `${formatted(100 * share)} %`;

const UNITS = { deg: '\u00b0', '1': '', degrees: '\u00b0' };

function withUnit(value, unit) {
  if (Number.isNaN(value)) return 'unknown';
  const short = UNITS[unit] ?? unit;
  return short === '\u00b0' ? formatted(value) + short : `${formatted(value)} ${short}`.trim();
}

const unitInBrackets = (unit) => (unit && unit !== '1' ? ` [${UNITS[unit] || unit}]` : '');

function say(text) {
  byId('spoken').textContent = text;
}

// The clipboard is not given to every page; a selected text field is the older way.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = make('textarea', { class: 'spoken' });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
  say('Copied.');
}

function copyButton(label, text) {
  const button = make('button', { type: 'button' }, label);
  button.addEventListener('click', async () => {
    await copy(text());
    button.textContent = 'Copied';
    setTimeout(() => (button.textContent = label), 1200);
  });
  return button;
}
