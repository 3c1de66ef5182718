// Puts the page together.

const LETTERS = 'abcdefghijklmnop';

// Panels share a place where there is a choice of them.
function place(slot, letter) {
  const frame = slot.map((panel) => panel.element);
  slot.forEach((panel, number) => {
    panel.element.querySelector('h2').prepend(make('b', {}, letter));
    if (number) panel.element.hidden = true;
    if (slot.length < 2) return;
    const select = make('select', { 'aria-label': 'What this panel shows' },
      ...slot.map((other, k) => make('option', { value: k }, other.choice)));
    select.value = number;
    select.addEventListener('change', () => {
      frame.forEach((element, k) => (element.hidden = k !== Number(select.value)));
      slot[Number(select.value)].element.querySelector('select').focus();
      select.value = number;
    });
    panel.element.querySelector('h2').after(select);
  });
  return frame;
}

function mapPanel(map, title, caption, colour = null) {
  const panel = new MapPanel({ id: `${title}-${map.name}`, title, caption, map, colour });
  panel.choice = words(map.name);
  if (colour) {
    const legend = make('div', {});
    panel.element.append(legend);
    panel.refreshLegend = () => legend.replaceChildren(categoryKeys(panel.colours));
  }
  return panel;
}

function featurePanels() {
  const maps = atlas.maps.filter((map) => map.kind === 'features');
  const panels = maps.map((map) =>
    mapPanel(map, `Image features: ${map.title}`, `${map.caption} Near points look alike to the network.`));
  const command = `ehps describe ${quoted(atlas.store)} --backbone NAME`;
  const caption = 'Pictures as a network sees them.';
  const missing = (text) => missingPanel({ title: 'Image features', caption, text, command });
  const second = [missing('Features of a second backbone can stand here.')];
  if (!panels.length) return [[missing('No features of the pictures are on a map yet.')], second];
  if (panels.length === 1) return [panels, second];
  return [[panels[0], ...panels.slice(2)], [panels[1]]];
}

function orientationPanels() {
  const sphere = new SpherePanel({ id: 'sphere', title: 'Orientation',
    caption: 'Where the camera stands around the body. Drag to turn; shade: samples per cell of equal solid angle, as ' +
      'a multiple of evenly spread views.' });
  sphere.choice = 'sphere';
  const maps = atlas.maps.filter((map) => map.kind === 'orientation');
  const caption = 'Rotation matrices of the body in the camera frame.';
  return [sphere, ...maps.map((map) => mapPanel(map, 'Orientation', `${map.caption} ${caption}`))];
}

function skeletonPanels() {
  const maps = atlas.maps.filter((map) => map.kind === 'skeleton');
  const [title, caption] = ['Pose: 3D skeletons', 'Root-relative joints without orientation.'];
  if (maps.length) return maps.map((map) => mapPanel(map, title, `${map.caption} ${caption}`));
  const command = `ehps describe ${quoted(atlas.store)} --attributes skeleton pose_space`;
  return [missingPanel({ title, caption, text: 'No skeletons are on a map yet.', command })];
}

// As in the paper, scenes and domains are colours on the map of skeletons; without it, bars over all samples.
function categoryPanels(title, candidates, card) {
  const known = candidates.filter((one) => one?.categories);
  const map = atlas.maps.find((one) => one.kind === 'skeleton');
  return (known.length ? known : [card]).map((measure) => {
    const panel = map
      ? mapPanel(map, title, `On the map of skeletons. ${measure.doc ?? ''}`, measure.id)
      : barsPanel({ title, caption: `Share of samples in each dataset. ${measure.doc ?? ''}`, measure });
    const isSeen = measure.family?.startsWith('scene_');
    panel.choice = isSeen ? 'by the picture' : `card: ${measure.title.replace('card ', '')}`;
    return panel;
  });
}

function toolbar() {
  const tools = [['move', 'Move', 'Drag moves maps and turns the sphere (M)'],
    ['rectangle', 'Rectangle', 'Drag selects by rectangle (R)'],
    ['lasso', 'Lasso', 'Drag selects by a free line (L)']];
  const buttons = tools.map(([tool, label, title]) => {
    const button = make('button', { type: 'button', title, 'data-tool': tool, 'aria-pressed': 'false' }, label);
    button.addEventListener('click', () => change('tool', { tool }));
    return button;
  });
  const reset = make('button', { type: 'button', title: 'Show all of every map (0 on one panel)' }, 'Reset views');
  reset.addEventListener('click', () => Panel.all.forEach((panel) => panel.reset()));
  const isChosen = (button) => String(button.dataset.tool === state.tool);
  on('tool', () => buttons.forEach((button) => button.setAttribute('aria-pressed', isChosen(button))));
  byId('toolbar').append(...buttons, reset, make('span', { class: 'muted' },
    'Point at a sample to see it, click to keep it, drag to select, Ctrl + wheel to zoom, ? for keys.'));
}

function routes() {
  const datasets = datasetPage();
  const select = byId('to-dataset');
  select.append(make('option', { value: '' }, 'choose \u2026'),
    ...atlas.datasets.map((dataset) => make('option', { value: dataset.name }, dataset.name)));
  select.addEventListener('change', () => (location.hash = select.value ? pageOf({ name: select.value }) : '#maps'));
  const go = () => {
    const page = location.hash.slice(1);
    const dataset = atlas.datasets.find((one) => pageOf(one) === location.hash) ?? null;
    byId('page-maps').hidden = byId('overview').hidden = Boolean(dataset);
    byId('page-dataset').hidden = !dataset;
    select.value = dataset?.name ?? '';
    setFocus(-1);
    if (dataset) {
      datasets.show(dataset, null);
      scrollTo(0, 0);
      byId('page-dataset').querySelector('h2').focus({ preventScroll: true });
    } else if (page === 'overview') byId('overview').scrollIntoView();
    for (const [id, isHere] of [['to-maps', !dataset && page !== 'overview'], ['to-overview', page === 'overview']]) {
      if (isHere) byId(id).setAttribute('aria-current', 'page');
      else byId(id).removeAttribute('aria-current');
    }
  };
  addEventListener('hashchange', go);
  go();
}

function start() {
  const samples = atlas.splits.reduce((sum, one) => sum + one.num_samples, 0);
  byId('store').textContent = `${atlas.store}: ${whole.format(samples)} samples of ${numDatasets} datasets, ` +
    `${whole.format(num)} of them drawn as points`;
  byId('standin').hidden = !atlas.standin;
  const colours = colourBox();
  const filter = filterBox();
  byId('side').append(colours.element, filter.element);
  toolbar();
  const byPicture = measures.filter((one) => one.family.startsWith('scene_') && one.name === 'environment');
  const scenes = [measureById.get('scene.card_scene'), ...byPicture, measureById.get('scene.environment')];
  const slots = [...featurePanels(), orientationPanels(), skeletonPanels(),
    categoryPanels('Scene', scenes, cardScene),
    categoryPanels('Real or synthetic', [measureById.get('scene.domain')], cardDomain),
    ...atlas.maps.filter((map) => map.kind === 'other').map((map) => [mapPanel(map, map.title, map.caption)])];
  byId('panels').append(...slots.flatMap((slot, k) => place(slot, LETTERS[k])));
  overview();
  hoverCard();
  drawer();
  selectionBar();
  helpDialog();
  shortcuts();
  routes();

  const redraw = () => Panel.all.forEach((panel) => panel.changed());
  const recolour = () => {
    Panel.recolour();
    colours.refresh();
    filter.refresh();
    for (const panel of slots.flat()) (panel.refreshLegend ?? panel.refresh)?.();
  };
  on('colour', Panel.recolour);
  for (const topic of ['filter', 'highlight', 'selection']) on(topic, redraw);
  on('focus', () => Panel.all.forEach((panel) => panel.drawOver()));
  on('colour', colours.refresh);
  prefersDark.addEventListener('change', recolour);
  const printing = (value) => () => {
    isPrinting = value;
    recolour();
    Panel.drawAll();
  };
  addEventListener('beforeprint', printing(true));
  addEventListener('afterprint', printing(false));
  recolour();
  // For the console and for scripts: what is shown and where, and a selection by other means than a brush.
  const select = (selected) => change('selection', { selected, region: null });
  const pin = (point) => change('pin', { pinned: point });
  const isDrawn = (point) => isShown(point) && !Number.isNaN(Panel.all[0].x[point]);
  const withPicture = () => Number(Object.keys(atlas.pictures).find(isDrawn) ?? 0);
  window.atlas = Object.freeze({ state, panels: Panel.all, keys, select, pin, withPicture });
}

start();
