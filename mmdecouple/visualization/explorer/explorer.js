/* The affinity explorer in the browser: a point in an image, and what every network thinks is similar to it. */
(function () {
  'use strict';

  const UPSAMPLE = 2;
  const FAR = 0.25;
  const KEY_STEP = 1 / 56;

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

  /* The rows from the bottom up, as Bokeh draws them; its own `origin` would show the hover the wrong row. */
  function upsideDown({values, shape: [height, width]}) {
    const flipped = new Float32Array(values.length);
    for (let row = 0; row < height; row++) {
      flipped.set(values.subarray(row * width, (row + 1) * width), (height - 1 - row) * width);
    }
    return flipped;
  }

  /* Mean of a map, its range, and its highest value farther than `FAR` of the side from (x, y), with its place. */
  function readings({values, shape}, x, y) {
    const [height, width] = shape;
    let sum = 0, low = Infinity, high = -Infinity, far = {value: -Infinity};
    for (let i = 0, at = 0; i < height; i++) {
      for (let j = 0; j < width; j++, at++) {
        const value = values[at], [u, v] = [(j + 0.5) / width, (i + 0.5) / height];
        sum += value;
        low = Math.min(low, value);
        high = Math.max(high, value);
        if (value > far.value && Math.hypot(u - x, v - y) > FAR) far = {value, x: u, y: v};
      }
    }
    return {mean: sum / values.length, low, high, far};
  }

  class Explorer {
    constructor({state, image, point, maps}) {
      Object.assign(this, {state, image, point, maps});
      [this.x, this.y] = [0.5, 0.5];
      this.features = new Map();
      this.page = document.getElementById('explorer');
      this.status = document.getElementById('status');
      this.connect();
      this.choose(state.picture);
    }

    connect() {
      const thumbnails = document.querySelectorAll('[data-picture]');
      thumbnails.forEach((button, index) => {
        button.querySelector('img').src = this.state.pictures[index].url;
        button.addEventListener('click', () => this.choose(index));
      });
      for (const input of document.querySelectorAll('input[name=view], input[name=scale]')) {
        input.addEventListener('change', () => {
          this.state[input.name] = input.value;
          this.show();
        });
      }
      document.getElementById('save').addEventListener('click', () => this.save());
      document.addEventListener('keydown', (event) => {
        const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
        if (!step || !event.target.closest('.plot')) return;
        event.preventDefault();
        this.move(this.x + step[0] * KEY_STEP, this.y + step[1] * KEY_STEP);
      });
    }

    get picture() {
      return this.state.pictures[this.state.picture];
    }

    choose(index) {
      this.state.picture = index;
      const {url, point} = this.picture;
      [this.x, this.y] = point;
      this.image.source.data = {url: [url]};
      document.querySelectorAll('[data-picture]').forEach((button, place) => {
        button.setAttribute('aria-pressed', String(place === index));
      });
      this.show();
    }

    /* (x, y) in shares from the top left; a place outside is moved to the border. */
    move(x, y) {
      [this.x, this.y] = [x, y].map((share) => Math.min(Math.max(share, 0), 1));
      this.show();
    }

    /* What network `index` shows for the picture: {values, shape}, or null while it is being computed. */
    values(index) {
      const {features, consistency} = this.picture;
      if (this.state.view === 'lsc') {
        const map = consistency[index];
        return map ? {values: Float32Array.from(map), shape: map.shape} : null;
      }
      if (!features.length) return null;
      const key = features[index];
      if (!this.features.has(key)) this.features.set(key, new FeatureMap(key));
      return this.features.get(key).affinity(this.x, this.y);
    }

    show() {
      const affinity = this.state.view === 'affinity';
      this.point.data = {x: [this.x], y: [1 - this.y]};
      this.maps.forEach((map, index) => this.draw(map, this.values(index), affinity));
      const waiting = this.maps.some((map) => map.shown === null);
      this.page.classList.toggle('waiting', waiting);
      document.getElementById('save').disabled = waiting;
      this.page.classList.toggle('lsc', !affinity);
      const {name, note} = this.picture;
      const wanted = affinity ? 'features' : 'LSC maps';
      const place = affinity ? `, point at ${this.x.toFixed(2)} from the left, ${this.y.toFixed(2)} from the top` : '';
      this.status.textContent = waiting ? note || `Computing ${wanted} of ${name}…` : name + place;
    }

    draw(map, shown, affinity) {
      map.shown = shown;
      if (shown === null) {
        map.text = '';
        map.peak.data = {x: [], y: []};
      } else {
        const {mean, low, high, far} = readings(shown, this.x, this.y);
        const {Float32NDArray} = Bokeh.require('core/util/ndarray');
        const [bottom, top] = this.state.scale === 'fixed' ? [0, 1] : [low, Math.max(high, low + 1e-6)];
        map.mapper.setv({low: bottom, high: top});
        map.ticker.ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => bottom + share * (top - bottom));
        const drawn = new Float32NDArray(upsideDown(shown), shown.shape);
        map.source.data = {image: [drawn], x: [0], y: [0], dw: [1], dh: [1]};
        map.peak.data = affinity ? {x: [far.x], y: [1 - far.y]} : {x: [], y: []};
        map.text = affinity ? `mean ${mean.toFixed(2)} · best match far away ${far.value.toFixed(2)}`
          : `mean ${mean.toFixed(2)} · lowest ${low.toFixed(2)}`;
      }
      document.getElementById(map.readout).textContent = map.text || '\u00a0';
    }

    /* All panels as one PNG, drawn from what the page shows. */
    save() {
      const panels = [this.image, ...this.maps].map(({figure, name, text}) =>
        ({name, text: text || '', canvas: Bokeh.index.get_by_id(figure.id).export('png', true).canvas}));
      const width = panels[0].canvas.width, unit = width / 22;
      const height = panels[0].canvas.height + 3.4 * unit;
      const columns = Number(document.querySelector('.panels').dataset.columns);
      const rows = Math.ceil(panels.length / columns);
      const sheet = Object.assign(document.createElement('canvas'),
        {width: columns * (width + unit) + unit, height: rows * height + 3 * unit});
      const pen = sheet.getContext('2d');
      pen.fillStyle = '#ffffff';
      pen.fillRect(0, 0, sheet.width, sheet.height);
      const write = (text, x, y, color, font) => {
        Object.assign(pen, {fillStyle: color, font: `${font} system-ui, sans-serif`});
        pen.fillText(text, x, y, sheet.width - x);
      };
      panels.forEach(({name, text, canvas}, index) => {
        const x = unit + (index % columns) * (width + unit), y = Math.floor(index / columns) * height + unit;
        write(name, x, y + 0.9 * unit, '#1f2933', `600 ${unit}px`);
        write(text, x, y + 2.1 * unit, '#5b6874', `${0.8 * unit}px`);
        pen.drawImage(canvas, x, y + 2.5 * unit, width, canvas.height * width / canvas.width);
      });
      const what = this.state.view === 'lsc' ? 'local semantic consistency' : 'cosine with the point';
      const colors = this.state.scale === 'fixed' ? '0 to 1' : "each map's lowest to its highest";
      const caption = `${what}, colors from ${colors} · ${this.status.textContent}`;
      write(caption, unit, sheet.height - 0.8 * unit, '#5b6874', `${0.8 * unit}px`);
      sheet.toBlob((blob) => {
        const link = Object.assign(document.createElement('a'), {href: URL.createObjectURL(blob),
          download: `${this.state.view}_${this.picture.name.replace(/[^\w.-]+/g, '_')}.png`});
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      }, 'image/png');
    }
  }

  window.startExplorer = (parts) => { window.affinityExplorer = new Explorer(parts); };
})();
