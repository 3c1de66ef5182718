// A plot of points: three canvases (ground, points, marks of the moment) and what pointer and keyboard do to them.
// Subclasses say where points lie (`place`), what the ground is, and how a drag moves the view.

const BUDGET_MS = 10; // of a frame for drawing; what does not fit comes with the next frame
const REACH_PX = 18;
const MAX_CORNERS = 40;

class Panel {
  static all = [];
  static #dirty = new Set();

  constructor({ id, title, caption, colour = null, numPoints }) {
    Object.assign(this, { id, title, caption, fixedColour: colour, numPoints });
    this.canvases = ['base', 'points', 'over'].map(() => make('canvas', { 'aria-hidden': 'true' }));
    [this.base, this.points, this.over] = this.canvases.map((canvas) => canvas.getContext('2d'));
    const label = `${title}: ${formatted(numPoints)} samples. Arrow keys move between points, Enter pins one.`;
    this.plot = make('div', { class: 'plot', tabindex: 0, role: 'application', 'aria-label': label }, ...this.canvases);
    this.heading = make('h2', { title }, title);
    this.tools = make('div', { class: 'row' });
    const about = { 'aria-pressed': 'false', title: 'Enlarge or shrink', 'aria-label': `Enlarge ${title}` };
    this.enlarge = make('button', { type: 'button', ...about }, '\u2922');
    this.enlarge.addEventListener('click', () => {
      const isLarge = this.element.classList.toggle('large');
      this.enlarge.setAttribute('aria-pressed', String(isLarge));
    });
    this.note = make('p', {}, caption);
    this.element = make('section', { class: 'panel', 'aria-label': title },
      make('header', {}, this.heading, this.tools, this.enlarge), this.plot, this.note);
    this.x = new Float32Array(num).fill(NaN);
    this.y = new Float32Array(num).fill(NaN);
    this.stroke = null; // the brush while it is drawn, in CSS pixels
    this.#listen();
    Panel.all.push(this);
  }

  get colours() {
    this.cachedColours ??= this.fixedColour ? colouring(this.fixedColour) : Panel.sharedColours();
    return this.cachedColours;
  }

  static #shared = null;
  static sharedColours() {
    Panel.#shared ??= colouring(state.colour);
    return Panel.#shared;
  }

  // New colours: by choice of the reader, or because the page turned dark.
  static recolour() {
    Panel.#shared = null;
    for (const panel of Panel.all) {
      panel.cachedColours = null;
      panel.changed();
    }
  }

  get radius() {
    return Math.max(1.5, 4.6 - 1.15 * Math.log10(Math.max(this.numPoints, 300) / 300)) * this.ratio;
  }

  // Ask for a redraw with one of the next frames.
  changed() {
    if (!Panel.#dirty.size) requestAnimationFrame(Panel.#work);
    Panel.#dirty.add(this);
  }

  moved() {
    this.grid = null;
    this.isPlaced = false;
    this.changed();
  }

  static #work() {
    const start = performance.now();
    for (const panel of Panel.#dirty) {
      if (performance.now() - start > BUDGET_MS) break;
      Panel.#dirty.delete(panel);
      panel.#draw();
    }
    if (Panel.#dirty.size) requestAnimationFrame(Panel.#work);
  }

  // Draw what waits now: a page that is printed gets no more frames.
  static drawAll() {
    for (const panel of Panel.all) panel.#draw();
    Panel.#dirty.clear();
  }

  #draw() {
    if (!this.width) return;
    if (!this.isPlaced) {
      this.place();
      this.isPlaced = true;
    }
    this.base.setTransform(1, 0, 0, 1, 0, 0);
    this.base.clearRect(0, 0, this.base.canvas.width, this.base.canvas.height);
    this.base.scale(this.ratio, this.ratio);
    this.drawBase(this.base);
    rasterise(this.points, this.x, this.y, this.colours, this.radius);
    this.drawOver();
  }

  #resize(width, height) {
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    [this.width, this.height] = [width, height];
    for (const canvas of this.canvases) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    this.moved();
  }

  // Rings around the point of the moment and the pinned one, and the brush.
  drawOver() {
    const context = this.over;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    for (const [point, width] of [[state.pinned, 3], [state.focus, 2]]) {
      if (point < 0 || Number.isNaN(this.x[point]) || !this.isPlaced) continue;
      context.strokeStyle = tone(point === state.pinned ? '--accent' : '--ring');
      context.lineWidth = width * this.ratio;
      context.beginPath();
      context.arc(this.x[point], this.y[point], this.radius + 4 * this.ratio, 0, 7);
      context.stroke();
    }
    this.drawLabels?.(context);
    const outline = this.stroke ?? this.regionOnPlot();
    if (!outline || outline.length < 2) return;
    context.scale(this.ratio, this.ratio);
    context.strokeStyle = tone('--accent');
    context.lineWidth = 1.5;
    context.setLineDash([5, 4]);
    context.beginPath();
    for (const [x, y] of outline) context.lineTo(x, y);
    context.closePath();
    context.stroke();
    context.globalAlpha = 0.08;
    context.fillStyle = tone('--accent');
    context.fill();
    context.globalAlpha = 1;
    context.setLineDash([]);
  }

  pointAt(x, y) {
    if (!this.isPlaced) return -1;
    const { width, height } = this.points.canvas;
    this.grid ??= new Grid(this.x, this.y, width, height);
    return this.grid.nearest(x * this.ratio, y * this.ratio, REACH_PX * this.ratio, isShown);
  }

  // Where a point is on the page, for what is shown beside it.
  onPage(point) {
    const box = this.plot.getBoundingClientRect();
    return [box.left + this.x[point] / this.ratio, box.top + this.y[point] / this.ratio];
  }

  #tool(event) {
    const usual = state.tool ?? this.usualTool;
    if (!event.shiftKey) return usual;
    return usual === 'move' ? 'rectangle' : 'move';
  }

  #listen() {
    new ResizeObserver(([entry]) => this.#resize(entry.contentRect.width, entry.contentRect.height)).observe(this.plot);
    const at = (event) => {
      const box = this.plot.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let drag = null;
    this.plot.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      this.plot.setPointerCapture(event.pointerId);
      drag = { tool: this.#tool(event), line: [at(event)], last: at(event), isClick: true };
    });
    this.plot.addEventListener('pointermove', (event) => {
      const place = at(event);
      if (!drag) {
        Panel.active = this;
        setFocus(this.pointAt(...place));
        return;
      }
      const [x0, y0] = drag.line[0];
      if (Math.hypot(place[0] - x0, place[1] - y0) > 4) drag.isClick = false;
      if (drag.isClick) return;
      setFocus(-1);
      if (drag.tool === 'move') this.dragged(place[0] - drag.last[0], place[1] - drag.last[1]);
      else if (drag.tool === 'lasso') drag.line.push(place);
      else drag.line = [[x0, y0], [place[0], y0], place, [x0, place[1]]];
      drag.last = place;
      this.stroke = drag.tool === 'move' ? null : drag.line;
      this.drawOver();
    });
    this.plot.addEventListener('pointerup', (event) => {
      if (!drag) return;
      const { tool, line, isClick } = drag;
      drag = this.stroke = null;
      if (isClick) change('pin', { pinned: this.pointAt(...at(event)) });
      else if (tool !== 'move') this.brush(line, tool === 'rectangle');
      this.drawOver();
    });
    this.plot.addEventListener('pointercancel', () => {
      drag = this.stroke = null;
      this.drawOver();
    });
    this.plot.addEventListener('pointerleave', () => drag || setFocus(-1));
    this.plot.addEventListener('wheel', (event) => {
      if (!(event.ctrlKey || event.metaKey || state.tool === 'move')) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300), ...at(event));
    }, { passive: false });
    this.plot.addEventListener('keydown', (event) => this.#key(event));
    this.plot.addEventListener('blur', () => setFocus(-1));
  }

  #key(event) {
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const arrow = arrows[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrow && event.shiftKey) this.dragged(-30 * arrow[0], -30 * arrow[1]);
    else if (arrow) this.#step(...arrow);
    else if (event.key === 'Enter' || event.key === ' ') change('pin', { pinned: state.focus });
    else if (event.key === '+' || event.key === '=') this.zoom(1.3, this.width / 2, this.height / 2);
    else if (event.key === '-') this.zoom(1 / 1.3, this.width / 2, this.height / 2);
    else if (event.key === '0') this.reset();
    else return;
    event.preventDefault();
  }

  #step(dx, dy) {
    const { width, height } = this.points.canvas;
    const passes = (i) => isShown(i) && this.x[i] > 0 && this.x[i] < width && this.y[i] > 0 && this.y[i] < height;
    const isHere = state.focus >= 0 && !Number.isNaN(this.x[state.focus]);
    this.grid ??= new Grid(this.x, this.y, width, height);
    const next = isHere
      ? neighbour(this.x, this.y, state.focus, dx, dy, passes)
      : this.grid.nearest(width / 2, height / 2, Math.max(width, height), passes);
    if (next < 0) return;
    Panel.active = this;
    setFocus(next);
    say(`${keys[next]}, ${datasetNameOf(next)}. ${this.colours.title}: ${colourText(this.colours, next)}.`);
  }

  // line: corners in CSS pixels. The selection is made from rounded coordinates, so that it is what the query says.
  brush(line, isRectangle) {
    const region = this.regionOf(simplified(line, MAX_CORNERS), isRectangle);
    const selected = new Uint8Array(num);
    const xs = region.polygon.map(([x]) => x);
    const ys = region.polygon.map(([, y]) => y);
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    for (let i = 0; i < num; i++) {
      const [u, v] = this.coordinates(i);
      if (!(u >= left && u <= right && v >= low && v <= high)) continue;
      if (isRectangle || isInside(u, v, region.polygon)) selected[i] = 1;
    }
    change('selection', { selected, region: { ...region, isRectangle, bounds: [left, right, low, high] } });
  }
}

const rounded = (value) => Number(value.toPrecision(6));

function colourText(colours, point) {
  return colours.kind === 'dataset' ? datasetNameOf(point) : colours.measure.text(point);
}
