// A map in the plane: points at their coordinates, both axes to the same scale.

const MARGIN_PX = 26;

class MapPanel extends Panel {
  usualTool = 'rectangle';

  constructor(spec) {
    super({ ...spec, numPoints: spec.map.xy.filter((value) => !Number.isNaN(value)).length / 2 });
    this.map = spec.map;
    this.view = { scale: 1, x: 0, y: 0 }; // relative to the view that shows all
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < num; i++) {
      const [x, y] = this.coordinates(i);
      if (Number.isNaN(x)) continue;
      [left, right, low, high] = [Math.min(left, x), Math.max(right, x), Math.min(low, y), Math.max(high, y)];
    }
    this.extent = { x: (left + right) / 2, y: (low + high) / 2, width: right - left || 1, height: high - low || 1 };
  }

  coordinates(point) {
    return [this.map.xy[2 * point], this.map.xy[2 * point + 1]];
  }

  // CSS pixels a unit of the map, and the plot's middle in map units.
  #frame() {
    const { width, height } = this.extent;
    const fit = Math.min((this.width - 2 * MARGIN_PX) / width, (this.height - 2 * MARGIN_PX) / height);
    return { scale: fit * this.view.scale, x: this.extent.x + this.view.x, y: this.extent.y + this.view.y };
  }

  toPlot(x, y) {
    const frame = this.#frame();
    return [this.width / 2 + (x - frame.x) * frame.scale, this.height / 2 - (y - frame.y) * frame.scale];
  }

  fromPlot(x, y) {
    const frame = this.#frame();
    return [frame.x + (x - this.width / 2) / frame.scale, frame.y - (y - this.height / 2) / frame.scale];
  }

  place() {
    const frame = this.#frame();
    const { xy } = this.map;
    for (let i = 0; i < num; i++) {
      this.x[i] = (this.width / 2 + (xy[2 * i] - frame.x) * frame.scale) * this.ratio;
      this.y[i] = (this.height / 2 - (xy[2 * i + 1] - frame.y) * frame.scale) * this.ratio;
    }
  }

  get radius() {
    return super.radius * Math.min(Math.max(Math.sqrt(this.view.scale), 0.8), 2.2);
  }

  drawBase(context) {
    context.fillStyle = tone('--muted');
    context.font = '11px system-ui, sans-serif';
    context.textAlign = 'center';
    context.fillText(this.map.axes[0], this.width / 2, this.height - 7);
    context.save();
    context.translate(13, this.height / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(this.map.axes[1], 0, 0);
    context.restore();
  }

  dragged(dx, dy) {
    const { scale } = this.#frame();
    this.view = { ...this.view, x: this.view.x - dx / scale, y: this.view.y + dy / scale };
    this.moved();
  }

  zoom(factor, x, y) {
    const [u, v] = this.fromPlot(x, y);
    this.view.scale = Math.min(Math.max(this.view.scale * factor, 0.5), 60);
    const [u2, v2] = this.fromPlot(x, y);
    this.view.x += u - u2;
    this.view.y += v - v2;
    this.moved();
  }

  reset() {
    this.view = { scale: 1, x: 0, y: 0 };
    this.moved();
  }

  regionOf(line) {
    return { kind: 'map', map: this.map, polygon: line.map(([x, y]) => this.fromPlot(x, y).map(rounded)) };
  }

  regionOnPlot() {
    return state.region?.map === this.map ? state.region.polygon.map(([x, y]) => this.toPlot(x, y)) : null;
  }
}
