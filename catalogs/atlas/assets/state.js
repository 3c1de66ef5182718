// What the reader has chosen, and who wants to know.

const state = {
  shown: new Uint8Array(numDatasets).fill(1), // by dataset
  colour: 'dataset',
  highlight: -1, // dataset under the pointer in the legend
  selected: null, // by point: 1 inside the brush
  region: null, // the brush; see `regionSql`
  focus: -1, // point under the pointer or the keyboard
  pinned: -1, // point in the drawer
  tool: null, // 'move', 'rectangle' or 'lasso'; null: rectangles on maps, turning on the sphere
};

const listeners = { filter: [], colour: [], highlight: [], selection: [], focus: [], pin: [], tool: [] };
const on = (topic, listener) => listeners[topic].push(listener);

function change(topic, values) {
  Object.assign(state, values);
  for (const listener of listeners[topic]) listener();
}

const isShown = (point) => state.shown[datasetOf[point]] === 1;
const allShown = () => state.shown.every((one) => one === 1);
const shownDatasets = () => atlas.datasets.filter((dataset) => state.shown[dataset.number]);

// Selected points of datasets that are shown.
function selectedPoints() {
  const points = [];
  if (state.selected) for (let i = 0; i < num; i++) if (state.selected[i] && isShown(i)) points.push(i);
  return points;
}

function setFocus(point) {
  if (point !== state.focus) change('focus', { focus: point });
}

const clearSelection = () => change('selection', { selected: null, region: null });
