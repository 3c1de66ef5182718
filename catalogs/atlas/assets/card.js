// What is known of one sample: a small card beside the pointer, and a drawer that stays.

const CARD_VALUES = 7;
const FIRST = ['orientation.azimuth_deg', 'orientation.elevation_deg', 'pose.plausibility', 'shape.stature_m',
  'camera.distance_m', 'camera.person_height_px', 'label.reprojection_px', 'visibility.truncation'];

function pictureOf(point, size) {
  const packed = atlas.pictures[point];
  if (packed) {
    const text = `Picture of ${keys[point]} with the mesh of its body`;
    return make('img', { class: 'picture', src: `data:image/webp;base64,${packed}`, alt: text, width: size });
  }
  return make('div', { class: 'nopicture' }, 'Its picture is not in this file. See it with ',
    make('code', {}, viewCommand(point)));
}

function valueRows(chosen, point) {
  return chosen.flatMap((measure) => {
    const name = `${measure.title}`;
    return [make('dt', { title: measure.doc }, name), make('dd', {}, words(measure.text(point)))];
  });
}

function hoverCard() {
  const card = byId('hover');
  const refresh = () => {
    const point = state.focus;
    card.hidden = point < 0 || point === state.pinned;
    if (card.hidden) return;
    const { measure } = Panel.active.colours;
    const known = FIRST.map((id) => measureById.get(id)).filter(Boolean);
    const listed = known.length ? known : measures.slice(0, CARD_VALUES);
    const chosen = [...new Set([...(measure ? [measure] : []), ...listed])].slice(0, CARD_VALUES);
    card.replaceChildren(
      pictureOf(point),
      make('strong', { class: 'row' }, markElement(datasetStyle(datasetOf[point])), datasetNameOf(point),
        make('span', { class: 'muted' }, atlas.points.splits[splitOf[point]])),
      make('span', { class: 'mono' }, keys[point]),
      make('dl', { class: 'values' }, ...valueRows(chosen, point)),
    );
    beside(card, ...Panel.active.onPage(point));
    card.querySelector('img')?.decode().then(() => beside(card, ...Panel.active.onPage(point)), () => {});
  };
  on('focus', refresh);
  on('pin', refresh);
}

// Right of a place, or left of it where there is no room.
function beside(card, x, y) {
  const gap = 18;
  const { width, height } = card.getBoundingClientRect();
  const left = x + gap + width < innerWidth ? x + gap : Math.max(4, x - gap - width);
  card.style.left = `${left}px`;
  card.style.top = `${Math.min(Math.max(4, y - height / 2), Math.max(4, innerHeight - height - 4))}px`;
}

function drawer() {
  const element = byId('drawer');
  const refresh = () => {
    const point = state.pinned;
    element.hidden = point < 0;
    document.body.classList.toggle('pinned', point >= 0);
    for (const panel of Panel.all) panel.drawOver();
    if (point < 0) return;
    const dataset = atlas.datasets[datasetOf[point]];
    const close = make('button', { type: 'button', title: 'Close (Esc)', 'aria-label': 'Close' }, '\u00d7');
    close.addEventListener('click', () => change('pin', { pinned: -1 }));
    const families = [...new Set(measures.map((measure) => measure.family))];
    element.replaceChildren(
      make('header', {}, make('h2', {}, make('a', { href: pageOf(dataset) }, dataset.name), ' ',
        make('span', { class: 'muted' }, atlas.points.splits[splitOf[point]])), close),
      pictureOf(point, 240),
      make('p', { class: 'mono' }, keys[point]),
      make('div', { class: 'row' }, copyButton('Copy key', () => keys[point]),
        copyButton('Copy ehps view', () => viewCommand(point)),
        copyButton('Copy SQL', () => sampleSql(point))),
      ...families.flatMap((family) => [
        make('h3', {}, words(family)),
        make('dl', { class: 'values' }, ...valueRows(measures.filter((measure) => measure.family === family), point)),
      ]),
    );
  };
  on('pin', refresh);
}
