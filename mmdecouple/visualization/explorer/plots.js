/* One plot: photo, map, outlines and markers on a canvas, with its color scale and the value under the pointer. */

const FAR = 0.25;

/* Mean of a map, its range, and its highest value farther than `FAR` of the side from (x, y), with its place. */
function readings({values, shape, kept}, x, y) {
  const [height, width] = shape;
  let sum = 0, count = 0, low = Infinity, high = -Infinity, far = {value: -Infinity};
  for (let i = 0, at = 0; i < height; i++) {
    for (let j = 0; j < width; j++, at++) {
      if (kept && !kept[at]) continue;
      const value = values[at], [u, v] = [(j + 0.5) / width, (i + 0.5) / height];
      sum += value;
      count++;
      low = Math.min(low, value);
      high = Math.max(high, value);
      if (value > far.value && Math.hypot(u - x, v - y) > FAR) far = {value, x: u, y: v};
    }
  }
  return {mean: sum / count, count, low, high, far};
}

/* A map as a small picture with one pixel per cell; cells that are not kept are transparent. */
function raster(map) {
  const [height, width] = map.shape;
  const small = Object.assign(document.createElement('canvas'), {width, height});
  const pen = small.getContext('2d');
  const pixels = pen.createImageData(width, height);
  for (let cell = 0; cell < width * height; cell++) {
    pixels.data.set(colorOf(map, cell), 4 * cell);
    pixels.data[4 * cell + 3] = map.kept && !map.kept[cell] ? 0 : 255;
  }
  pen.putImageData(pixels, 0, 0);
  return small;
}

function colorOf({values, colors, palette, range}, cell) {
  if (colors) return colors.subarray(3 * cell, 3 * cell + 3);
  const share = (values[cell] - range[0]) / (range[1] - range[0]);
  const level = Math.max(0, Math.min(255, Math.floor(256 * share)));
  return palette.subarray(3 * level, 3 * level + 3);
}

class Plot {
  /* `pick(x, y)` is called with shares from the top left for every press and drag. */
  constructor(figure, pick) {
    Object.assign(this, {figure, canvas: figure.querySelector('.map'), scene: null});
    this.scale = figure.querySelector('.scale');
    this.output = figure.querySelector('output');
    const place = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    this.canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      this.canvas.setPointerCapture(event.pointerId);
      pick(...place(event));
    });
    this.canvas.addEventListener('pointermove', (event) => {
      if (this.canvas.hasPointerCapture(event.pointerId)) pick(...place(event));
      this.read(...place(event));
    });
    this.canvas.addEventListener('pointerleave', () => { this.output.textContent = ''; });
    new ResizeObserver(() => this.paint()).observe(this.canvas);
  }

  /* Shows the value of the map at a place. */
  read(x, y) {
    const map = this.scene && this.scene.map;
    if (!map || !map.values) return;
    const [height, width] = map.shape;
    const [row, column] = [Math.floor(y * height), Math.floor(x * width)];
    const inside = row >= 0 && row < height && column >= 0 && column < width;
    const cell = row * width + column;
    this.output.textContent = inside && !(map.kept && !map.kept[cell]) ? map.values[cell].toFixed(3) : '';
  }

  /* {photo, backdrop, box, map, opacity, outlines, point, peak}; a map has `values` with `range` and `palette`, or
     `colors`, and its `shape`. */
  draw(scene) {
    this.scene = scene;
    this.output.textContent = '';
    const {map} = scene;
    this.scale.hidden = !map || !map.values;
    if (!this.scale.hidden) {
      const [low, high] = this.scale.querySelectorAll('span');
      low.textContent = map.range[0].toFixed(2);
      high.textContent = map.range[1].toFixed(2);
      const values = Float32Array.from({length: 256}, (_, level) => level / 255);
      const bar = raster({values, shape: [1, 256], palette: map.palette, range: [0, 1]});
      this.scale.querySelector('canvas').getContext('2d').drawImage(bar, 0, 0);
    }
    this.picture = map ? raster(map) : null;
    this.paint();
  }

  paint() {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!this.scene || !width || !height) return;
    const {photo, backdrop, box, opacity, outlines, point, peak} = this.scene;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.canvas, {width: Math.round(width * ratio), height: Math.round(height * ratio)});
    const pen = this.canvas.getContext('2d');
    pen.scale(ratio, ratio);
    if (backdrop) {
      pen.drawImage(backdrop, 0, 0, width, height);
      pen.save();
      pen.beginPath();
      pen.rect(...Plot.rectangle(box, width, height));
      pen.clip();
    }
    if (photo) pen.drawImage(photo, 0, 0, width, height);
    if (backdrop) pen.restore();
    if (this.picture) {
      pen.globalAlpha = opacity;
      pen.imageSmoothingEnabled = false;
      pen.drawImage(this.picture, 0, 0, width, height);
      pen.globalAlpha = 1;
    }
    for (const outline of outlines) this.outline(pen, Plot.rectangle(outline.box, width, height), outline.offered);
    if (peak) this.diamond(pen, peak.x * width, peak.y * height);
    if (point) this.dot(pen, point[0] * width, point[1] * height);
  }

  static rectangle([left, top, right, bottom], width, height) {
    return [left * width, top * height, (right - left) * width, (bottom - top) * height];
  }

  outline(pen, rectangle, offered) {
    for (const [color, size] of [['#000000', 3.5], ['#ffffff', 1.5]]) {
      Object.assign(pen, {strokeStyle: color, lineWidth: size});
      pen.setLineDash(offered ? [6, 5] : []);
      pen.strokeRect(...rectangle);
    }
    pen.setLineDash([]);
  }

  diamond(pen, x, y) {
    pen.beginPath();
    for (const [across, down] of [[0, -8], [6, 0], [0, 8], [-6, 0]]) pen.lineTo(x + across, y + down);
    pen.closePath();
    for (const [color, size] of [['#000000', 3.5], ['#ffffff', 2]]) {
      Object.assign(pen, {strokeStyle: color, lineWidth: size});
      pen.stroke();
    }
  }

  dot(pen, x, y) {
    pen.beginPath();
    pen.arc(x, y, 6.5, 0, 2 * Math.PI);
    Object.assign(pen, {fillStyle: '#F0E442', strokeStyle: '#000000', lineWidth: 2});
    pen.fill();
    pen.stroke();
  }
}
