/* Results as typed arrays, and affinities of quantized features. */
'use strict';

const UPSAMPLE = 2;
const ARRAYS = {int8: Int8Array, int16: Int16Array, uint8: Uint8Array, float32: Float32Array};

/* Arrays {type, shape, data} anywhere in a result become typed arrays with a `shape`. */
function unpacked(value) {
  if (value === null || typeof value !== 'object') return value;
  if (value.type in ARRAYS) {
    const bytes = Uint8Array.from(atob(value.data), (letter) => letter.charCodeAt(0));
    return Object.assign(new ARRAYS[value.type](bytes.buffer), {shape: value.shape});
  }
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, unpacked(part)]));
}

/* Results by address: from the server, or from the elements of an exported file. */
class Store {
  constructor(served, changed) {
    Object.assign(this, {served, changed, known: new Map()});
  }

  /* The result, null while it is being computed, or an Error. */
  get(address) {
    if (!this.known.has(address)) this.load(address);
    return this.known.get(address);
  }

  load(address) {
    if (this.served) {
      this.known.set(address, null);
      this.request(address).then(unpacked).catch((error) => error).then((result) => {
        this.known.set(address, result);
        this.changed();
      });
      return;
    }
    const element = document.querySelector(`script[data-result="${address}"]`);
    this.known.set(address, element ? unpacked(JSON.parse(element.textContent)) : new Error('Not in this file.'));
  }

  async request(address) {
    const reply = await fetch(address).catch(() => { throw new Error('The server does not answer; start it again.'); });
    if (!reply.ok) throw new Error((await reply.text()).trim());
    return reply.json();
  }
}

/* The two cells, and the weight of the second, between which a cell of the enlarged map lies (pixel centers). */
function neighbors(index, count) {
  const place = Math.max((index + 0.5) / UPSAMPLE - 0.5, 0);
  const low = Math.floor(place);
  return [low, Math.min(low + 1, count - 1), place - low];
}

/* Dense features of one image, kept small: only cosines are enlarged, never the features. */
class FeatureMap {
  constructor({codes, steps}) {
    const [height, width, channels] = codes.shape;
    Object.assign(this, {codes, steps, height, width, channels});
    this.rows = Array.from({length: UPSAMPLE * height}, (_, row) => neighbors(row, height));
    this.columns = Array.from({length: UPSAMPLE * width}, (_, column) => neighbors(column, width));
    this.shape = [this.rows.length, this.columns.length];
    this.norms = new Float32Array(this.shape[0] * this.shape[1]);
    for (let row = 0, at = 0; row < this.shape[0]; row++) {
      for (let column = 0; column < this.shape[1]; column++, at++) {
        let sum = 0;
        for (const value of this.feature(row, column)) sum += value * value;
        this.norms[at] = Math.sqrt(sum);
      }
    }
  }

  corners(row, column) {
    const [top, bottom, down] = this.rows[row];
    const [left, right, across] = this.columns[column];
    return [[top * this.width + left, (1 - down) * (1 - across)], [top * this.width + right, (1 - down) * across],
            [bottom * this.width + left, down * (1 - across)], [bottom * this.width + right, down * across]];
  }

  feature(row, column) {
    const feature = new Float32Array(this.channels);
    for (const [cell, share] of this.corners(row, column)) {
      const weight = share * this.steps[cell];
      if (weight === 0) continue;
      const from = cell * this.channels;
      for (let channel = 0; channel < this.channels; channel++) {
        feature[channel] += weight * this.codes[from + channel];
      }
    }
    return feature;
  }

  /* Cosine of the feature at (x, y), shares of width and height, with the feature of every enlarged cell. */
  affinity(x, y) {
    const [height, width] = this.shape;
    const row = Math.min(Math.floor(y * height), height - 1);
    const column = Math.min(Math.floor(x * width), width - 1);
    const chosen = this.feature(row, column);
    const dots = new Float32Array(this.height * this.width);
    for (let cell = 0, at = 0; cell < dots.length; cell++) {
      let sum = 0;
      for (let channel = 0; channel < this.channels; channel++, at++) sum += chosen[channel] * this.codes[at];
      dots[cell] = sum * this.steps[cell];
    }
    const norm = this.norms[row * width + column];
    const values = new Float32Array(height * width);
    for (let i = 0, at = 0; i < height; i++) {
      for (let j = 0; j < width; j++, at++) {
        let dot = 0;
        for (const [cell, share] of this.corners(i, j)) dot += share * dots[cell];
        values[at] = dot / Math.max(norm * this.norms[at], 1e-24);
      }
    }
    return {values, shape: this.shape};
  }
}
