// The overview: one row a dataset, or a split; every column sorts.

const COLUMNS = [
  { title: 'Dataset', value: (row) => row.dataset.name, cell: datasetCell },
  { title: 'Splits', value: (row) => row.splits.map((split) => split.split).join(', '), cell: splitCell },
  { title: 'Samples', value: (row) => row.samples, isNumber: true },
  { title: 'Rejects', value: (row) => row.rejects, isNumber: true },
  { title: 'Domain', value: (row) => words(row.dataset.domain) },
  { title: 'Scene', value: (row) => words(row.dataset.scene) },
  { title: 'Licence', value: (row) => words(row.dataset.licence), cell: licenceCell },
  ...atlas.parts.map((part, k) => ({
    title: part[0].toUpperCase() + part.slice(1),
    value: (row) => (row.samples ? row.covered[k] / row.samples : 0),
    isNumber: true,
    cell: shareCell,
  })),
];

function datasetCell(row) {
  const { dataset } = row;
  return make('td', {}, make('a', { href: pageOf(dataset) }, dataset.name),
    make('small', { title: dataset.title }, [dataset.title, dataset.year].filter(Boolean).join(', ')));
}

function splitCell(row) {
  return make('td', { class: 'split' }, ...row.splits.flatMap((split, k) => [k ? ', ' : '',
    make('span', {}, split.split, ' ', make('span', { class: 'muted' }, formatted(split.num_samples)))]));
}

function licenceCell(row) {
  return make('td', { class: 'whole', title: row.dataset.licence_terms }, words(row.dataset.licence));
}

function shareCell(row, value) {
  const bar = draw('svg', { viewBox: '0 0 100 4', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    draw('rect', { class: 'track', width: 100, height: 4 }),
    draw('rect', { class: 'filled', width: 100 * value, height: 4 }));
  return make('td', {}, make('div', { class: 'share' }, `${Math.round(100 * value)} %`, bar));
}

function addedUp(dataset, splits) {
  return {
    dataset,
    splits,
    samples: splits.reduce((sum, split) => sum + split.num_samples, 0),
    rejects: splits.reduce((sum, split) => sum + split.num_rejects, 0),
    covered: atlas.parts.map((_, k) => splits.reduce((sum, split) => sum + split.covered[k], 0)),
  };
}

function overview() {
  let bySplit = false;
  let sorted = { column: 0, direction: 1 };
  const head = make('tr', {});
  const body = make('tbody', {});
  const foot = make('tfoot', {});
  const compare = new Intl.Collator('en', { numeric: true }).compare;

  const refresh = () => {
    const rows = atlas.datasets.flatMap((dataset) =>
      bySplit ? dataset.splits.map((split) => addedUp(dataset, [split])) : [addedUp(dataset, dataset.splits)]);
    const { value, isNumber } = COLUMNS[sorted.column];
    rows.sort((a, b) => sorted.direction * (isNumber ? value(a) - value(b) : compare(value(a), value(b))));
    const line = (row) => COLUMNS.map((column) => column.cell?.(row, column.value(row)) ?? (column.isNumber
      ? make('td', { class: 'number' }, whole.format(column.value(row)))
      : make('td', { class: 'whole' }, column.value(row))));
    body.replaceChildren(...rows.map((row) => make('tr', {}, ...line(row))));
    head.replaceChildren(...COLUMNS.map((column, k) => {
      const button = make('button', { type: 'button' }, column.title);
      button.addEventListener('click', () => {
        const first = column.isNumber ? -1 : 1;
        sorted = { column: k, direction: sorted.column === k ? -sorted.direction : first };
        refresh();
        head.children[k].firstChild.focus();
      });
      const order = sorted.column === k ? (sorted.direction > 0 ? 'ascending' : 'descending') : 'none';
      return make('th', { scope: 'col', 'aria-sort': order, class: column.isNumber ? 'number' : '' }, button);
    }));
  };
  const all = addedUp({ name: '' }, atlas.splits);
  foot.append(make('tr', {}, make('td', {}, `${numDatasets} datasets`), make('td', {}, `${atlas.splits.length} splits`),
    ...[all.samples, all.rejects].map((number) => make('td', { class: 'number' }, whole.format(number))),
    make('td', {}), make('td', {}), make('td', {}),
    ...COLUMNS.slice(7).map((column) => shareCell(all, column.value(all)))));
  const toggle = make('input', { type: 'checkbox', id: 'by-split' });
  toggle.addEventListener('change', () => {
    bySplit = toggle.checked;
    refresh();
  });
  refresh();
  byId('overview').append(
    make('h2', { id: 'overview-title' }, 'Overview'),
    make('p', { class: 'row' }, make('label', {}, toggle, ' one row a split'),
      make('span', { class: 'muted' },
        'Rejects are people that were read and refused. Shares are of samples whose part is known.')),
    make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of datasets' },
      make('table', {}, make('thead', {}, head), body, foot)),
    ...missingFamilies());
}

function missingFamilies() {
  if (!atlas.missing.length) return [];
  const command = `ehps describe ${quoted(atlas.store)} --attributes ${atlas.missing.join(' ')}`;
  return [make('p', { class: 'row muted' }, `Not computed for this store: ${atlas.missing.map(words).join(', ')}.`,
    make('code', {}, command), copyButton('Copy', () => command))];
}
