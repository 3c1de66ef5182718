// Finding points: under the pointer, in a direction, inside a brush.

// A grid over the plot: each cell lists the points that lie in it. Points with x NaN are nowhere.
class Grid {
  static CELL = 16;

  constructor(x, y, width, height) {
    this.x = x;
    this.y = y;
    this.columns = Math.max(1, Math.ceil(width / Grid.CELL));
    this.rows = Math.max(1, Math.ceil(height / Grid.CELL));
    const cells = new Int32Array(x.length);
    this.starts = new Int32Array(this.columns * this.rows + 1);
    for (let i = 0; i < x.length; i++) {
      cells[i] = this.#cell(x[i], y[i]);
      if (cells[i] >= 0) this.starts[cells[i] + 1]++;
    }
    for (let c = 0; c < this.columns * this.rows; c++) this.starts[c + 1] += this.starts[c];
    this.points = new Int32Array(this.starts[this.columns * this.rows]);
    const next = this.starts.slice();
    for (let i = 0; i < x.length; i++) if (cells[i] >= 0) this.points[next[cells[i]]++] = i;
  }

  #cell(x, y) {
    const column = Math.floor(x / Grid.CELL);
    const row = Math.floor(y / Grid.CELL);
    const inside = column >= 0 && column < this.columns && row >= 0 && row < this.rows;
    return inside ? row * this.columns + column : -1;
  }

  // The nearest point that passes, at most `reach` pixels away; -1 if there is none.
  nearest(x, y, reach, passes) {
    let best = -1;
    let least = reach * reach;
    const cells = Math.ceil(reach / Grid.CELL);
    const column = Math.floor(x / Grid.CELL);
    const row = Math.floor(y / Grid.CELL);
    for (let r = Math.max(0, row - cells); r <= Math.min(this.rows - 1, row + cells); r++) {
      for (let c = Math.max(0, column - cells); c <= Math.min(this.columns - 1, column + cells); c++) {
        const cell = r * this.columns + c;
        for (let k = this.starts[cell]; k < this.starts[cell + 1]; k++) {
          const i = this.points[k];
          const distance = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
          if (distance <= least && passes(i)) [best, least] = [i, distance];
        }
      }
    }
    return best;
  }
}

// The point to which an arrow key leads: near, and rather ahead than aside.
function neighbour(xs, ys, from, dx, dy, passes) {
  let best = -1;
  let least = Infinity;
  for (let i = 0; i < xs.length; i++) {
    if (i === from || Number.isNaN(xs[i])) continue;
    const x = xs[i] - xs[from];
    const y = ys[i] - ys[from];
    const ahead = x * dx + y * dy;
    const aside = Math.abs(x * dy - y * dx);
    if (ahead <= 0 || aside > ahead) continue;
    const cost = ahead + 2 * aside;
    if (cost < least && passes(i)) [best, least] = [i, cost];
  }
  return best;
}

// Even-odd rule, the same as `insideSql`.
function isInside(x, y, polygon) {
  let inside = false;
  for (let i = 0; i < polygon.length; i++) {
    const [x1, y1] = polygon[i];
    const [x2, y2] = polygon[(i + 1) % polygon.length];
    if (y > y1 !== y > y2 && x < ((x2 - x1) / (y2 - y1)) * (y - y1) + x1) inside = !inside;
  }
  return inside;
}

// At most `limit` corners of a drawn line, those that change its course most (Visvalingam and Whyatt 1993).
function simplified(line, limit) {
  const points = line.slice();
  const area = ([ax, ay], [bx, by], [cx, cy]) => Math.abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay));
  while (points.length > limit) {
    let least = Infinity;
    let at = 0;
    for (let i = 0; i < points.length; i++) {
      const before = points[(i + points.length - 1) % points.length];
      const size = area(before, points[i], points[(i + 1) % points.length]);
      if (size < least) [at, least] = [i, size];
    }
    points.splice(at, 1);
  }
  return points;
}
