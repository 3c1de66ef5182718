// The list of shortcuts, and those that hold on the whole page.

const SHORTCUTS = [
  ['Tab', 'go through panels and controls'],
  ['Arrow keys', 'on a panel: go from point to point'],
  ['Enter', 'on a panel: keep the point open at the side'],
  ['Shift + arrow keys', 'move the map, turn the sphere'],
  ['+  \u2212  0', 'zoom in, zoom out, show all'],
  ['M  R  L', 'drag to move, to select by rectangle, by lasso'],
  ['Shift + drag', 'move instead of select, and select instead of move'],
  ['Ctrl + wheel', 'zoom'],
  ['C', 'go to the choice of colours'],
  ['Esc', 'close the point at the side, then clear the selection'],
  ['?', 'this list'],
];

function helpDialog() {
  const dialog = byId('help');
  const close = make('button', { type: 'button' }, 'Close');
  close.addEventListener('click', () => dialog.close());
  dialog.append(make('h2', { id: 'help-title' }, 'Keyboard and pointer'),
    make('dl', {}, ...SHORTCUTS.flatMap(([key, text]) =>
      [make('dt', {}, make('kbd', {}, key)), make('dd', {}, text)])), close);
  byId('open-help').addEventListener('click', () => dialog.showModal());
}

function shortcuts() {
  const tools = { m: 'move', r: 'rectangle', l: 'lasso' };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId('help').open) return;
    if (event.key === 'Escape') {
      if (state.pinned >= 0) change('pin', { pinned: -1 });
      else if (state.selected) clearSelection();
      else setFocus(-1);
      return;
    }
    if (event.target.matches('input:not([type="checkbox"]), textarea, select')) return;
    if (event.key === '?') byId('help').showModal();
    else if (event.key.toLowerCase() === 'c') byId('colour').focus();
    else if (tools[event.key.toLowerCase()]) change('tool', { tool: tools[event.key.toLowerCase()] });
    else return;
    event.preventDefault();
  });
}
