// From where cameras see bodies: a sphere around the body, which can be turned. Body axes: x left, y up, z front.
// Cells have equal solid angle; their shade counts all samples of the datasets that are shown, not the points alone.

const NUM_AZIMUTH = 24;
const NUM_ELEVATION = 9;
const START = { yaw: -0.5, pitch: 0.35 };
const SIDES = [['front', 0, 0, 1], ['back', 0, 0, -1], ['left side', 1, 0, 0], ['right side', -1, 0, 0],
  ['above', 0, 1, 0], ['below', 0, -1, 0]];
const SCALE_TICKS = [0.1, 0.3, 1, 3, 10, 30, 100];

const direction = (azimuth, sine) => {
  const level = Math.sqrt(Math.max(0, 1 - sine * sine));
  return [level * Math.sin(azimuth), sine, level * Math.cos(azimuth)];
};

class SpherePanel extends Panel {
  usualTool = 'move';

  constructor(spec) {
    const known = viewDeg.filter((value) => !Number.isNaN(value)).length / 2;
    super({ ...spec, numPoints: known });
    this.directions = new Float32Array(3 * num).fill(NaN);
    for (let i = 0; i < num; i++) {
      const [azimuth, elevation] = [viewDeg[2 * i], viewDeg[2 * i + 1]].map((degrees) => (degrees * Math.PI) / 180);
      if (!Number.isNaN(azimuth)) this.directions.set(direction(azimuth, Math.sin(elevation)), 3 * i);
    }
    this.hasPoints = true;
    const about = { 'aria-pressed': 'true', title: 'Show or hide the points' };
    const toggle = make('button', { type: 'button', ...about }, 'Points');
    toggle.addEventListener('click', () => {
      this.hasPoints = !this.hasPoints;
      toggle.setAttribute('aria-pressed', String(this.hasPoints));
      this.moved();
    });
    this.tools.append(toggle);
    this.plot.classList.add('turns');
    this.reset();
  }

  reset() {
    this.zoomed = 1;
    this.#turn(START.yaw, START.pitch);
  }

  #turn(yaw, pitch) {
    [this.yaw, this.pitch] = [yaw, Math.min(Math.max(pitch, -Math.PI / 2), Math.PI / 2)];
    const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    // rows: right, up, towards the reader
    this.matrix = [[cy, 0, sy], [sp * sy, cp, -sp * cy], [-cp * sy, sp, cp * cy]].map((row) => row.map(rounded));
    this.moved();
  }

  #turned(v) {
    return this.matrix.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
  }

  get radius() {
    return Math.max(super.radius * 0.62, 1.1 * this.ratio);
  }

  get globe() {
    return (Math.min(this.width, this.height) / 2 - 22) * this.zoomed;
  }

  // On the plane of the page, in radii of the sphere; NaN on its far side.
  coordinates(point) {
    const [u, v, depth] = this.#turned(this.directions.subarray(3 * point, 3 * point + 3));
    return depth > 0 ? [u, v] : [NaN, NaN];
  }

  place() {
    for (let i = 0; i < num; i++) {
      const [u, v] = this.hasPoints ? this.coordinates(i) : [NaN, NaN];
      this.x[i] = (this.width / 2 + u * this.globe) * this.ratio;
      this.y[i] = (this.height / 2 - v * this.globe) * this.ratio;
    }
  }

  // Samples of the shown datasets in each cell, as a multiple of what evenly spread views would give.
  #densities() {
    const sums = new Float64Array(NUM_CELLS);
    let total = 0;
    for (const dataset of shownDatasets()) {
      for (let cell = 0; cell < NUM_CELLS; cell++) {
        const count = cellCounts[dataset.number * NUM_CELLS + cell];
        sums[cell] += count;
        total += count;
      }
    }
    return sums.map((sum) => (total ? (sum / total) * NUM_CELLS : 0));
  }

  drawBase(context) {
    const densities = this.#densities();
    const present = densities.filter((density) => density > 0);
    const low = Math.min(0.5, ...present);
    const high = Math.max(2, ...present);
    const shade = (density) => {
      const share = Math.log(density / low) / Math.log(high / low);
      return `rgb(${mixed(rgb(tone('--cell-low')), rgb(tone('--cell-high')), 0.12 + 0.88 * share).join(' ')})`;
    };
    const [middleX, middleY, radius] = [this.width / 2, this.height / 2, this.globe];
    context.fillStyle = tone('--surface');
    context.beginPath();
    context.arc(middleX, middleY, radius, 0, 7);
    context.fill();
    densities.forEach((density, cell) => this.#drawCell(context, cell, density ? shade(density) : null));
    context.strokeStyle = tone('--muted');
    context.lineWidth = 1;
    context.beginPath();
    context.arc(middleX, middleY, radius, 0, 7);
    context.stroke();
    this.#drawScale(context, low, high, shade);
  }

  #drawCell(context, cell, colour) {
    const azimuth = (((cell % NUM_AZIMUTH) - 0.5) * 2 * Math.PI) / NUM_AZIMUTH - Math.PI;
    const sine = (Math.floor(cell / NUM_AZIMUTH) * 2) / NUM_ELEVATION - 1;
    const [width, height] = [(2 * Math.PI) / NUM_AZIMUTH, 2 / NUM_ELEVATION];
    const edge = [];
    for (let k = 0; k < 4; k++) edge.push([k / 4, 0]);
    for (let k = 0; k < 4; k++) edge.push([1, k / 4]);
    for (let k = 0; k < 4; k++) edge.push([1 - k / 4, 1]);
    for (let k = 0; k < 4; k++) edge.push([0, 1 - k / 4]);
    const turned = edge.map(([a, s]) => this.#turned(direction(azimuth + a * width, sine + s * height)));
    if (turned.every(([, , depth]) => depth < 0)) return;
    context.beginPath();
    for (const [u, v, depth] of turned) {
      const stretch = depth < 0 ? 1 / (Math.hypot(u, v) || 1) : 1; // what lies behind ends at the rim
      context.lineTo(this.width / 2 + u * stretch * this.globe, this.height / 2 - v * stretch * this.globe);
    }
    context.closePath();
    if (colour) {
      context.fillStyle = colour;
      context.fill();
    }
    context.strokeStyle = tone('--line');
    context.lineWidth = 0.6;
    context.stroke();
  }

  // Over the points, as they would hide the words.
  drawLabels(context) {
    context.save();
    context.scale(this.ratio, this.ratio);
    context.font = '600 11px system-ui, sans-serif';
    context.textAlign = 'center';
    for (const [name, ...axis] of SIDES) {
      const [u, v, depth] = this.#turned(axis);
      if (depth < -0.05) continue;
      const half = context.measureText(name).width / 2 + 3;
      const x = Math.min(Math.max(this.width / 2 + u * this.globe, half), this.width - half);
      const y = this.height / 2 - v * this.globe;
      context.lineWidth = 3;
      context.strokeStyle = tone('--surface');
      context.strokeText(name, x, y + 4);
      context.fillStyle = tone('--ink');
      context.fillText(name, x, y + 4);
    }
    context.restore();
  }

  // What a shade means, at the lower left.
  #drawScale(context, low, high, shade) {
    const ticks = SCALE_TICKS.filter((tick) => tick >= low * 0.99 && tick <= high * 1.01);
    context.font = '10px system-ui, sans-serif';
    context.textAlign = 'left';
    ticks.forEach((tick, k) => {
      const y = this.height - 10 - 13 * k;
      context.fillStyle = shade(Math.min(Math.max(tick, low), high));
      context.fillRect(4, y - 8, 12, 11);
      context.fillStyle = tone('--muted');
      context.fillText(`${tick}\u00d7${k === ticks.length - 1 ? ' even spread' : ''}`, 20, y + 1);
    });
  }

  dragged(dx, dy) {
    this.#turn(this.yaw + dx / this.globe, this.pitch + dy / this.globe);
  }

  zoom(factor) {
    this.zoomed = Math.min(Math.max(this.zoomed * factor, 0.6), 8);
    this.moved();
  }

  regionOf(line) {
    const toSphere = ([x, y]) => [(x - this.width / 2) / this.globe, (this.height / 2 - y) / this.globe].map(rounded);
    return { kind: 'sphere', matrix: this.matrix, polygon: line.map(toSphere) };
  }

  // An outline belongs to the sphere as it was turned when it was drawn.
  regionOnPlot() {
    if (state.region?.kind !== 'sphere' || state.region.matrix !== this.matrix) return null;
    return state.region.polygon.map(([u, v]) => [this.width / 2 + u * this.globe, this.height / 2 - v * this.globe]);
  }
}
