// The page of one dataset: its card, its pictures, and its histograms against the others.

const MAX_STRIP = 24;

function datasetPage() {
  const page = byId('page-dataset');

  function show(dataset, against) {
    const others = atlas.datasets.filter((other) => other !== dataset && (against === null || other === against));
    const select = make('select', { 'aria-label': 'Compare with' }, make('option', { value: '' }, 'all other datasets'),
      ...atlas.datasets.filter((other) => other !== dataset)
        .map((other) => make('option', { value: other.name }, other.name)));
    select.value = against?.name ?? '';
    select.addEventListener('change', () => {
      show(dataset, atlas.datasets.find((other) => other.name === select.value) ?? null);
      page.querySelector('select').focus();
    });
    const families = [...new Set(measures.map((measure) => measure.family))];
    page.replaceChildren();
    fill(page, {}, [
      make('h2', { tabindex: -1 }, dataset.title || dataset.name, ' ', make('span', { class: 'muted' }, dataset.name)),
      facts(dataset),
      strip(dataset),
      make('div', { class: 'row' }, swatch('one'), dataset.name, swatch('others'),
        make('label', { class: 'row' }, 'against', select),
        make('span', { class: 'muted' },
          'Share of samples per bin, over all samples of the store; the outermost bins hold all beyond them.')),
      ...families.map((family) => familySection(family, dataset, others))]);
  }

  return { show };
}

function familySection(family, dataset, others) {
  const held = measures.filter((measure) => measure.family === family);
  const unknown = held.filter((measure) => measure.shares([dataset.number]) === null);
  const titles = unknown.map((measure) => measure.title);
  const numbers = others.map((other) => other.number);
  return make('section', { class: 'family', 'aria-label': words(family) }, make('h3', {}, words(family)),
    unknown.length ? make('p', {}, `Unknown for every sample: ${titles.join(', ')}.`) : null,
    make('div', { class: 'histograms' }, ...held.filter((measure) => !unknown.includes(measure))
      .map((measure) => histogram(measure, dataset.number, numbers))));
}

const swatch = (kind) => draw('svg', { class: 'swatch', viewBox: '0 0 22 10', 'aria-hidden': 'true' },
  draw('path', { class: kind, d: 'M1 9V5H8V1H15V6H21V9' }));

function facts(dataset) {
  const list = (texts) => (texts.length ? make('ul', {}, ...texts.map((text) => make('li', {}, text))) : null);
  const splits = dataset.splits.map((one) => `${one.split} ${whole.format(one.num_samples)}`);
  const places = dataset.environments.map(words).join(', ');
  const known = [
    ['Samples', `${whole.format(dataset.samples)} (${splits.join(', ')})`],
    ['Domain', `${dataset.domain}, ${words(dataset.scene)}${places && `: ${places}`}`],
    ['Labels', [dataset.origins.join(', '), dataset.labels].filter(Boolean).join('. ')],
    ['Licence', [words(dataset.licence), dataset.licence_terms].filter(Boolean).join('. ')],
    ['References', list(dataset.references)],
    ['Known defects', list(dataset.defects)],
  ];
  return make('dl', { class: 'facts' }, ...known.filter(([, value]) => value)
    .flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]));
}

function strip(dataset) {
  const pictured = Object.keys(atlas.pictures).map(Number);
  const points = pictured.filter((point) => datasetOf[point] === dataset.number).slice(0, MAX_STRIP);
  if (!points.length) return null;
  return make('div', { class: 'strip', role: 'group', 'aria-label': 'Samples' }, ...points.map((point) => {
    const button = make('button', { type: 'button', title: keys[point] }, pictureOf(point));
    button.addEventListener('click', () => change('pin', { pinned: point }));
    return button;
  }));
}
