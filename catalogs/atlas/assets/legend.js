// The side bar: what colours mean, and which datasets are shown.

function colourBox() {
  const select = make('select', { id: 'colour' });
  const add = (parent, id, title) => parent.append(make('option', { value: id }, title));
  add(select, 'dataset', 'dataset');
  add(select, 'card.domain', 'real or synthetic (card)');
  add(select, 'card.scene', 'scene (card)');
  for (const family of new Set(measures.map((measure) => measure.family))) {
    const group = make('optgroup', { label: words(family) });
    for (const measure of measures.filter((one) => one.family === family))
      add(group, measure.id, measure.title + unitInBrackets(measure.unit));
    select.append(group);
  }
  select.addEventListener('change', () => change('colour', { colour: select.value }));
  const meaning = make('div', {});
  const refresh = () => {
    select.value = state.colour;
    meaning.replaceChildren(...colourLegend(Panel.sharedColours()));
  };
  on('colour', refresh);
  const choice = make('label', {}, make('h2', {}, 'Colour by'), select);
  return { element: make('div', { class: 'box' }, choice, meaning), refresh };
}

function colourLegend(colours) {
  if (colours.kind === 'dataset') return [make('p', { class: 'muted' }, 'Colour and shape together tell the dataset.')];
  const doc = colours.measure.doc ? [make('p', { class: 'muted' }, colours.measure.doc)] : [];
  if (colours.kind === 'category') return [categoryKeys(colours), ...doc];
  const about = { role: 'img', 'aria-label': 'colour scale' };
  const strip = make('canvas', { class: 'scale', width: NUM_LEVELS, height: 1, ...about });
  const context = strip.getContext('2d');
  for (let i = 0; i < NUM_LEVELS; i++) {
    context.fillStyle = `rgb(${colours.styles[i].colour.join(' ')})`;
    context.fillRect(i, 0, 1, 1);
  }
  const { unit } = colours.measure;
  const ends = make('div', { class: 'ends' },
    ...[colours.low, colours.high].map((value) => make('span', {}, withUnit(value, unit))));
  return [strip, ends, make('p', { class: 'row muted' }, markElement(colours.styles[NUM_LEVELS]), 'unknown'), ...doc];
}

function categoryKeys(colours) {
  const hasUnknown = colours.codes.includes(colours.labels.length);
  return make('ul', { class: 'keys' },
    ...colours.labels.map((label, i) => make('li', {}, markElement(colours.styles[i]), words(label))),
    ...(hasUnknown ? [make('li', {}, markElement(colours.styles.at(-1)), 'unknown')] : []));
}

function filterBox() {
  const list = make('ul', {});
  const refresh = () => {
    list.replaceChildren(...atlas.datasets.map((dataset) => {
      const { number, name } = dataset;
      const box = make('input', { type: 'checkbox', 'data-dataset': name });
      box.checked = state.shown[number] === 1;
      box.addEventListener('change', () => {
        state.shown[number] = box.checked ? 1 : 0;
        change('filter');
      });
      const item = make('li', { class: box.checked ? '' : 'off' },
        make('label', { title: dataset.title || name }, box, markElement(datasetStyle(number)),
          make('span', { class: 'name' }, name)),
        make('small', {}, formatted(dataset.samples)),
        make('a', { href: pageOf(dataset), 'aria-label': `Page of ${name}`, title: `Page of ${name}` }, '\u203a'));
      item.addEventListener('pointerenter', () => change('highlight', { highlight: number }));
      item.addEventListener('pointerleave', () => change('highlight', { highlight: -1 }));
      return item;
    }));
  };
  const setAll = (value) => {
    state.shown.fill(value);
    change('filter');
    refresh();
  };
  const button = (label, value) => {
    const made = make('button', { type: 'button' }, label);
    made.addEventListener('click', () => setAll(value));
    return made;
  };
  on('filter', () => list.querySelectorAll('li').forEach((item, i) => item.classList.toggle('off', !state.shown[i])));
  const head = make('div', { class: 'row' }, button('All', 1), button('None', 0),
    make('span', { class: 'muted' }, 'samples'));
  const about = { class: 'box list', role: 'group', 'aria-label': 'Datasets shown' };
  return { element: make('div', about, make('h2', {}, 'Datasets'), head, list), refresh };
}
