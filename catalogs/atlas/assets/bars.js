// Shares of categories in each dataset, for a panel whose map has not been made.

function barsPanel({ title, caption, measure }) {
  const list = make('div', { class: 'bars' });
  const plot = make('div', { class: 'plot' }, list);
  const legend = make('ul', { class: 'keys' });
  const element = make('section', { class: 'panel', 'aria-label': title },
    make('header', {}, make('h2', { title }, title)), plot, make('p', {}, caption), legend);
  const refresh = () => {
    const styles = measure.categories.map((_, i) => styleOf(i));
    list.replaceChildren(...shownDatasets().map((dataset) => barRow(dataset, measure, styles)));
    legend.replaceChildren(...measure.categories.map((name, i) => make('li', {}, markElement(styles[i]), words(name))));
  };
  on('filter', refresh);
  refresh();
  return { element, refresh };
}

function barRow(dataset, measure, styles) {
  const counts = measure.counts.subarray(dataset.number * measure.width, (dataset.number + 1) * measure.width);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const bar = draw('svg', { viewBox: '0 0 100 10', preserveAspectRatio: 'none', role: 'img' });
  const parts = [];
  let start = 0;
  counts.forEach((count, i) => {
    if (!count) return;
    const width = (100 * count) / total;
    bar.append(draw('rect', { x: start, y: 0, width, height: 10, fill: `rgb(${styles[i].colour.join(' ')})` }));
    parts.push(`${words(measure.categories[i])} ${percent(count / total)}`);
    start += width;
  });
  const text = `${dataset.name}: ${parts.join(', ') || 'unknown'}`;
  bar.setAttribute('aria-label', text);
  bar.prepend(draw('title', {}, text));
  return make('div', { class: 'stack' }, make('span', { title: dataset.name }, dataset.name), bar);
}

// What a panel says when nothing can be drawn yet.
function missingPanel({ title, caption, text, command }) {
  const plot = make('div', { class: 'plot missing' }, make('p', {}, text), command ? make('code', {}, command) : null);
  if (command) plot.append(copyButton('Copy the command', () => command));
  return { element: make('section', { class: 'panel', 'aria-label': title },
    make('header', {}, make('h2', { title }, title)), plot, make('p', {}, caption)) };
}
