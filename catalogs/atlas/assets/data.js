// What the file holds, decoded when it is first needed.

const atlas = JSON.parse(byId('data').textContent);
const num = atlas.points.num;
const keys = atlas.points.keys;
const datasetOf = uint16s(atlas.points.dataset);
const splitOf = uint16s(atlas.points.split);
const viewDeg = floats(atlas.points.view);
const cellCounts = uint32s(atlas.cells);
const numDatasets = atlas.datasets.length;
const NUM_CELLS = 216;
const UNKNOWN = 255;

const datasetNameOf = (point) => atlas.datasets[datasetOf[point]].name;
const pageOf = (dataset) => `#dataset/${encodeURIComponent(dataset.name)}`;

for (const one of atlas.maps) one.xy = floats(one.xy);
for (const [number, dataset] of atlas.datasets.entries()) {
  dataset.number = number;
  dataset.splits = atlas.splits.filter((split) => split.dataset === dataset.name);
  dataset.samples = dataset.splits.reduce((sum, split) => sum + split.num_samples, 0);
}

class Measure {
  #packed;
  #values = null;
  #counts = null;
  #quantiles = null;

  constructor(packed) {
    this.#packed = packed;
    this.family = packed.family;
    this.name = packed.name;
    this.unit = packed.unit;
    this.doc = packed.doc;
    this.categories = packed.categories ?? null;
    this.edges = packed.edges ?? null;
    this.isLog = packed.isLog ?? false;
    this.id = `${packed.family}.${packed.name}`;
    this.width = this.categories ? this.categories.length : this.edges.length - 1;
  }

  // Its name without the unit, unless another attribute of the family is called the same.
  get title() {
    const short = (name) => name.replace(/_(deg|m|mm|px)$/, '');
    const others = measures.filter((one) => one !== this && one.family === this.family);
    const isTaken = others.some((one) => short(one.name) === short(this.name));
    return words(isTaken ? this.name : short(this.name));
  }

  get values() {
    const packed = this.#packed;
    this.#values ??= this.categories ? bytesOf(packed.values) : halfFloats(packed.values, packed.scale);
    return this.#values;
  }

  get counts() {
    this.#counts ??= uint32s(this.#packed.counts);
    return this.#counts;
  }

  // 5, 50 and 95 % of a dataset.
  quantiles(dataset) {
    this.#quantiles ??= floats(this.#packed.quantiles);
    return this.#quantiles.subarray(3 * dataset, 3 * dataset + 3);
  }

  text(point) {
    const value = this.values[point];
    if (!this.categories) return withUnit(value, this.unit);
    return value === UNKNOWN ? 'unknown' : this.categories[value];
  }

  // Share of each bin or category among the samples of some datasets that have a value; null if none has.
  shares(datasets) {
    const sums = new Float64Array(this.width);
    let total = 0;
    for (const dataset of datasets) {
      for (let bin = 0; bin < this.width; bin++) {
        const count = this.counts[dataset * this.width + bin];
        sums[bin] += count;
        total += count;
      }
    }
    return total ? { total, shares: sums.map((sum) => sum / total) } : null;
  }
}

const measures = atlas.measures.map((packed) => new Measure(packed));
const measureById = new Map(measures.map((measure) => [measure.id, measure]));

// What a card says of a whole dataset, as categories of its points.
function cardCategories(id, title, field) {
  const categories = [...new Set(atlas.datasets.map((dataset) => dataset[field]))].sort();
  const codes = atlas.datasets.map((dataset) => categories.indexOf(dataset[field]));
  return {
    id,
    title,
    categories,
    values: Uint8Array.from(datasetOf, (dataset) => codes[dataset]),
    text: (point) => atlas.datasets[datasetOf[point]][field],
    // (D, categories) samples, as a measure has them
    counts: Uint32Array.from({ length: numDatasets * categories.length }, (_, i) => {
      const dataset = Math.floor(i / categories.length);
      return codes[dataset] === i % categories.length ? atlas.datasets[dataset].samples : 0;
    }),
    width: categories.length,
  };
}

const cardDomain = cardCategories('card.domain', 'real or synthetic', 'domain');
const cardScene = cardCategories('card.scene', 'scene', 'scene');
