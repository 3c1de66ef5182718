// A histogram of a measure: one dataset filled, others as a dashed outline; shares of all samples that have a value.
// The one dataset has some.

const MAX_TICKS = 6;
const BOX = { width: 250, height: 96, left: 30, bottom: 26, top: 6 };

function histogram(measure, dataset, otherDatasets) {
  const one = measure.shares([dataset]);
  const rest = measure.shares(otherDatasets);
  const caption = make('figcaption', { title: measure.doc }, measure.title,
    make('small', {}, unitInBrackets(measure.unit)));
  const told = make('p', { 'aria-live': 'off' });
  const figure = make('figure', { class: 'histogram', 'data-measure': measure.id }, caption);
  const most = Math.max(...one.shares, ...(rest ? rest.shares : [0]));
  const inner = { width: BOX.width - BOX.left - 4, height: BOX.height - BOX.bottom - BOX.top };
  const x = (bin) => BOX.left + (bin / measure.width) * inner.width;
  const y = (share) => BOX.top + (1 - share / most) * inner.height;
  const outline = (shares) => {
    const parts = [`M${x(0)} ${y(0)}`];
    shares.forEach((share, bin) => parts.push(`V${y(share)}H${x(bin + 1)}`));
    return `${parts.join('')}V${y(0)}`;
  };
  const summary = `${formatted(one.total)} samples${measure.edges ? `; ${quantileText(measure, dataset)}` : ''}`;
  const size = `0 0 ${BOX.width} ${BOX.height}`;
  const picture = draw('svg', { viewBox: size, role: 'img', 'aria-label': `${measure.title}: ${summary}` },
    draw('line', { class: 'axis', x1: BOX.left, x2: BOX.width - 4, y1: y(0), y2: y(0) }),
    ...shareTicks(most, y), ...binTicks(measure, x),
    draw('path', { class: 'one', d: outline(one.shares) }));
  if (rest) picture.append(draw('path', { class: 'others', d: outline(rest.shares) }));
  for (let bin = 0; bin < measure.width; bin++) {
    const hit = draw('rect', { class: 'hit', x: x(bin), y: BOX.top, width: x(bin + 1) - x(bin), height: inner.height });
    const others = rest ? `, others ${percent(rest.shares[bin])}` : '';
    const text = `${binText(measure, bin)}: ${percent(one.shares[bin])}${others}`;
    hit.append(draw('title', {}, text));
    hit.addEventListener('pointerenter', () => (told.textContent = text));
    hit.addEventListener('pointerleave', () => (told.textContent = summary));
    picture.append(hit);
  }
  told.textContent = summary;
  figure.append(picture, told);
  return figure;
}

function quantileText(measure, dataset) {
  const [low, middle, high] = measure.quantiles(dataset);
  return `median ${withUnit(middle, measure.unit)}, 90 % in ${formatted(low)} to ${formatted(high)}`;
}

function binText(measure, bin) {
  if (measure.categories) return words(measure.categories[bin]);
  const { edges, width } = measure;
  const open = bin === 0 ? 'below' : bin === width - 1 ? 'above' : '';
  if (bin === 0) return `${open} ${withUnit(edges[1], measure.unit)}`;
  if (open) return `${open} ${withUnit(edges[bin], measure.unit)}`;
  return `${formatted(edges[bin])} to ${withUnit(edges[bin + 1], measure.unit)}`;
}

function shareTicks(most, y) {
  const round = 10 ** Math.floor(Math.log10(100 * most));
  const step = [5, 2, 1].map((factor) => factor * round).find((value) => value <= 100 * most) ?? round;
  return [0, step / 100].map((share) =>
    draw('text', { x: BOX.left - 4, y: y(share) + 3, 'text-anchor': 'end' }, percent(share)));
}

function binTicks(measure, x) {
  const below = BOX.height - BOX.bottom + 12;
  if (measure.categories) {
    const room = Math.floor((BOX.width - BOX.left) / measure.width / 5.6);
    return measure.categories.map((name, bin) => {
      const short = words(name).length > room ? `${words(name).slice(0, Math.max(1, room - 1))}\u2026` : words(name);
      return draw('text', { x: x(bin + 0.5), y: below, 'text-anchor': 'middle' }, short);
    });
  }
  const { edges, width, isLog } = measure;
  const [low, high] = [edges[0], edges[width]];
  const share = (value) => (isLog ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  return roundValues(low, high, isLog).map((value) =>
    draw('text', { x: x(width * share(value)), y: below, 'text-anchor': 'middle' }, formatted(value)));
}

// Four or so round values between two: even steps, or 1, 2, 5, 10, ... on a log axis.
function roundValues(low, high, isLog) {
  const values = [];
  if (isLog) {
    const factors = high / low > 1000 ? [1] : high / low > 60 ? [1, 3] : [1, 2, 5];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      values.push(...factors.map((factor) => Number((factor * 10 ** power).toPrecision(6))));
  } else {
    const rough = (high - low) / 4;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((value) => value >= rough * 0.999);
    for (let k = Math.ceil(low / step); k * step <= high; k++) values.push(Number((k * step).toPrecision(6)));
  }
  const isWhole = !Number.isInteger(low) && Number.isInteger(low * 2); // bins around whole numbers
  const inside = values.filter((value) => value >= low && value <= high && (!isWhole || Number.isInteger(value)));
  const every = Math.ceil(inside.length / MAX_TICKS);
  return inside.filter((_, i) => i % every === 0);
}
