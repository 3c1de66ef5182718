// From a brush to SQL that selects the same samples in the store.

const MAX_KEYS = 200;

const sqlText = (text) => `'${text.replaceAll("'", "''")}'`;

function keysSql(points) {
  const pairs = points.map((i) => `(${sqlText(datasetNameOf(i))}, ${sqlText(keys[i])})`);
  return `SELECT dataset, split, key FROM instances WHERE (dataset, key) IN (${pairs.join(', ')}) ORDER BY ALL`;
}

// All that is known of one sample.
function sampleSql(point) {
  const [dataset, key] = [datasetNameOf(point), keys[point]].map(sqlText);
  return `SELECT * FROM samples WHERE dataset = ${dataset} AND key = ${key}`;
}

// The even-odd rule of `isInside`.
function insideSql(polygon, x, y) {
  const crossings = [];
  polygon.forEach(([x1, y1], i) => {
    const [x2, y2] = polygon[(i + 1) % polygon.length];
    if (y1 === y2) return;
    const edge = `${(x2 - x1) / (y2 - y1)} * (${y} - ${y1}) + ${x1}`;
    crossings.push(`((${y} > ${y1}) <> (${y} > ${y2}) AND ${x} < ${edge})::INT`);
  });
  return `(${crossings.join(' + ')}) % 2 = 1`;
}

function regionSql(region) {
  const [left, right, low, high] = region.bounds;
  const isMap = region.kind === 'map';
  const [u, v] = isMap ? ['x', 'y'] : ['u', 'v'];
  const conditions = isMap ? [region.map.condition] : ['depth > 0'];
  conditions.push(`${u} BETWEEN ${left} AND ${right}`, `${v} BETWEEN ${low} AND ${high}`);
  const names = shownDatasets().map((dataset) => sqlText(dataset.name));
  if (!allShown()) conditions.push(`dataset IN (${names.join(', ')})`);
  if (!region.isRectangle) conditions.push(insideSql(region.polygon, u, v));
  const where = conditions.filter(Boolean).join(' AND ');
  const from = isMap ? region.map.relation : turnedSql(region.matrix);
  return `SELECT dataset, split, key FROM ${from} WHERE ${where} ORDER BY ALL`;
}

// Directions of view, turned as the sphere was: u right, v up, depth towards the reader.
function turnedSql(matrix) {
  const [u, v, depth] = matrix.map((row) => row.map((value, k) => `${value} * ${'abc'[k]}`).join(' + '));
  const [azimuth, elevation] = ['radians(azimuth_deg)', 'radians(elevation_deg)'];
  const directions =
    `SELECT dataset, split, key, cos(${elevation}) * sin(${azimuth}) AS a, sin(${elevation}) AS b, ` +
    `cos(${elevation}) * cos(${azimuth}) AS c FROM ${atlas.orientation}`;
  return `(SELECT dataset, split, key, ${u} AS u, ${v} AS v, ${depth} AS depth FROM (${directions}))`;
}

// As one argument of a shell command.
function quoted(text) {
  if (/^[\w./@%+=:,-]+$/.test(text)) return text;
  return /["$`\\!]/.test(text) ? `'${text.replaceAll("'", `'\\''`)}'` : `"${text}"`;
}

const queryCommand = (sql) => `ehps query ${quoted(atlas.store)} ${quoted(sql)}`;
const viewCommand = (point) => `ehps view ${quoted(atlas.store)} ${quoted(keys[point])} -o sample.png`;

// The bar that tells what is selected, and gives the query.
function selectionBar() {
  const bar = byId('selection');
  const summary = make('span', {});
  const how = make('select', { 'aria-label': 'How the query selects' },
    make('option', { value: 'keys' }, 'by keys'), make('option', { value: 'region' }, 'by place on the map'));
  const text = make('textarea', { readonly: '', 'aria-label': 'SQL that selects these points', spellcheck: 'false' });
  const clear = make('button', { type: 'button', title: 'Clear the selection (Esc)' }, 'Clear');
  clear.addEventListener('click', clearSelection);
  bar.append(make('div', { class: 'row' }, summary, how, copyButton('Copy SQL', () => text.value),
    copyButton('Copy command', () => queryCommand(text.value)), clear), text);
  let points = [];
  const write = () => (text.value = how.value === 'keys' ? keysSql(points) : regionSql(state.region));
  how.addEventListener('change', write);
  const refresh = () => {
    bar.hidden = !state.selected;
    document.body.classList.toggle('brushed', !bar.hidden);
    if (!state.selected) return;
    points = selectedPoints();
    const counts = new Map();
    for (const i of points) counts.set(datasetOf[i], (counts.get(datasetOf[i]) ?? 0) + 1);
    const most = [...counts].sort((a, b) => b[1] - a[1]);
    const listed = most.slice(0, 3).map(([dataset, count]) => `${atlas.datasets[dataset].name} ${formatted(count)}`);
    const counted = (number, word) => `${formatted(number)} ${word}${number === 1 ? '' : 's'}`;
    summary.textContent = `${counted(points.length, 'point')} in ${counted(most.length, 'dataset')}` +
      (most.length ? `: ${listed.join(', ')}${most.length > 3 ? ', \u2026' : ''}` : '');
    const fits = points.length > 0 && points.length <= MAX_KEYS;
    how.options[0].disabled = !fits;
    how.value = fits ? 'keys' : 'region';
    write();
    say(`${points.length} points selected.`);
  };
  on('selection', refresh);
  on('filter', refresh);
}
