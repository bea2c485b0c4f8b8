/* The affinity explorer in the browser: its state, its controls, and what every plot shows. */

const VIEWS = ['affinity', 'pca', 'photo', 'lsc'];
const OPACITY_STEP = 10;

class Explorer {
  constructor(index) {
    Object.assign(this, index, {picture: 0, view: 'affinity', scale: 'fixed', components: 'image', opacity: 100,
      swapped: false, network: 0, x: 0.5, y: 0.5, photos: []});
    this.palettes = unpacked(index.palettes);
    this.store = new Store(index.served, () => this.show());
    this.page = document.getElementById('explorer');
    this.panels = [...document.querySelectorAll('.panel')].map((panel) => ({
      panel, readout: panel.querySelector('.readout'), layer: panel.querySelector('select'),
      plots: Object.fromEntries([...panel.querySelectorAll('figure')].map((figure) =>
        [figure.dataset.kind, new Plot(figure, (x, y) => this.pick(panel, x, y))]))}));
    [this.image, ...this.maps] = this.panels;
    this.connect();
    this.choose(0);
    this.select(0);
  }

  connect() {
    this.thumbnails = [...document.querySelectorAll('[data-picture]')];
    this.thumbnails.forEach((button, place) => {
      button.querySelector('img').src = this.pictures[place].photo;
      button.addEventListener('click', () => this.choose(place));
    });
    for (const input of document.querySelectorAll('.bar input[type=radio]')) {
      input.addEventListener('change', () => this.set(input.name, input.value));
    }
    const on = (id, event, action) => document.getElementById(id).addEventListener(event, action);
    this.slider = document.getElementById('opacity');
    this.slider.addEventListener('input', () => this.set('opacity', Number(this.slider.value)));
    this.toggle = document.getElementById('swap');
    this.toggle.addEventListener('click', () => this.set('swapped', !this.swapped));
    this.more = document.getElementById('more');
    this.more.addEventListener('click', () => {
      this.more.setAttribute('aria-expanded', String(this.more.getAttribute('aria-expanded') !== 'true'));
    });
    on('previous', 'click', () => this.choose(this.picture - 1));
    on('next', 'click', () => this.choose(this.picture + 1));
    on('save', 'click', () => this.save());
    this.help = document.getElementById('help');
    on('ask', 'click', () => this.help.showModal());
    this.maps.forEach(({panel, layer}, network) => {
      layer.addEventListener('change', () => this.read(network, layer.selectedIndex));
      panel.addEventListener('focusin', () => this.select(network));
    });
    document.addEventListener('keydown', (event) => this.press(event));
    // On a phone, the maps come first.
    document.querySelector('.read').open = !window.matchMedia('(max-width: 640px)').matches;
  }

  press(event) {
    const {target, key} = event;
    if (event.ctrlKey || event.altKey || event.metaKey || this.help.open || target.closest('select')) return;
    const arrow = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[key];
    if (arrow && target.closest('input')) return;
    const back = key !== key.toLowerCase() ? -1 : 1;
    const network = this.network;
    const actions = {
      i: () => this.choose(this.picture + back),
      n: () => this.select((network + back + this.maps.length) % this.maps.length, true),
      l: () => this.read(network, this.layers[network] + back),
      v: () => this.turn('view', VIEWS, back),
      c: () => this.turn('scale', ['fixed', 'per_map'], back),
      p: () => this.turn('components', ['image', 'all'], back),
      b: () => this.toggle.disabled || this.set('swapped', !this.swapped),
      o: () => this.set('opacity', Math.min(100, Math.max(0, this.opacity - back * OPACITY_STEP))),
      s: () => this.waiting || this.save(),
      '?': () => this.help.showModal(),
    };
    const action = arrow ? () => this.step(...arrow) : actions[key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }

  set(name, value) {
    this[name] = value;
    this.show();
  }

  /* The next of the values of a radio group that can be chosen. */
  turn(name, values, step) {
    const open = values.filter((value) => !document.querySelector(`input[name=${name}][value=${value}]`).disabled);
    this.set(name, open[(open.indexOf(this[name]) + step + open.length) % open.length]);
  }

  choose(place) {
    this.picture = (place + this.pictures.length) % this.pictures.length;
    [this.x, this.y] = this.pictures[this.picture].point;
    this.thumbnails.forEach((button, other) => {
      button.setAttribute('aria-pressed', String(other === this.picture));
      if (other === this.picture) button.scrollIntoView({block: 'nearest', inline: 'nearest'});
    });
    this.show();
  }

  select(network, focus = false) {
    this.network = network;
    this.maps.forEach(({panel}, place) => panel.setAttribute('aria-current', String(place === network)));
    if (focus) this.maps[network].panel.querySelector('.plot').focus();
  }

  read(network, layer) {
    const select = this.maps[network].layer;
    const count = select.options.length;
    this.layers[network] = (layer + count) % count;
    select.selectedIndex = this.layers[network];
    this.show();
  }

  pick(panel, x, y) {
    const network = this.maps.findIndex((map) => map.panel === panel);
    if (network >= 0) this.select(network);
    this.move(x, y);
  }

  /* Moves the point by patches of the selected network. */
  step(across, down) {
    const features = this.result('features', this.network, 'own');
    const [height, width] = features && features.codes ? features.codes.shape : [28, 28];
    this.move(this.x + across / width, this.y + down / height);
  }

  /* (x, y) in shares from the top left; a place outside is moved to the border. */
  move(x, y) {
    [this.x, this.y] = [x, y].map((share) => Math.min(Math.max(share, 0), 1));
    this.show();
  }

  /* Decoded photo of a picture, or null until it is there. */
  photo(place) {
    if (!this.photos[place]) {
      this.photos[place] = Object.assign(new Image(), {src: this.pictures[place].photo});
      for (const event of ['load', 'error']) this.photos[place].addEventListener(event, () => this.show());
    }
    const image = this.photos[place];
    return image.complete && image.naturalWidth ? image : null;
  }

  /* An Error if the photo of the picture could not be loaded. */
  unread(name) {
    const {complete, naturalWidth} = this.photos[this.picture];
    return complete && !naturalWidth ? new Error(`${name} cannot be read any more; restore the file and reload the page.`)
      : undefined;
  }

  /* Index of the region of the point: its smallest object, or else the square with the nearest center. */
  region() {
    const {x, y} = this;
    const around = this.pictures[this.picture].regions.map(({box: [left, top, right, bottom], known}, place) => ({place,
      known, inside: x >= left && x <= right && y >= top && y <= bottom,
      order: known ? (right - left) * (bottom - top) : 2 + Math.hypot((left + right) / 2 - x, (top + bottom) / 2 - y)}));
    const found = around.filter(({inside}) => inside).sort((one, other) => one.order - other.order);
    return found.length ? found[0].place : null;
  }

  result(kind, network, region) {
    return this.store.get(`${kind}/${this.picture}/${network}/${this.layers[network]}/${region}`);
  }

  /* The map of a plot; null while it is computed, an Error, or undefined if there is none. */
  content(network, kind, region) {
    const own = kind === 'own';
    if (this.view === 'photo' || (!own && (region === null || this.view === 'lsc'))) return undefined;
    const {viridis, magma} = this.palettes;
    if (this.view === 'lsc') {
      const values = this.result('lsc', network, 'own');
      return values && values.shape ? {values, shape: values.shape, palette: viridis} : values;
    }
    const features = this.result('features', network, own ? 'own' : region);
    if (!features || features instanceof Error) return features;
    if (kind === 'change') {
      const {values, kept} = features.change;
      return {values, kept, shape: values.shape, palette: magma};
    }
    if (this.view === 'pca') {
      const shared = this.components === 'all';
      const colors = shared ? this.result('shared', network, own ? 'own' : region) : features.colors;
      return colors && colors.shape ? {colors, shape: colors.shape} : colors;
    }
    features.map = features.map || new FeatureMap(features);
    return {...features.map.affinity(this.x, this.y), palette: viridis};
  }

  show() {
    const {name, regions, background} = this.pictures[this.picture];
    const swapping = this.swapped && this.view !== 'lsc';
    const region = swapping ? this.region() : null;
    const photo = this.photo(this.picture);
    const backdrop = region === null ? null : this.photo(background);
    if (photo) {
      const aspect = photo.naturalWidth / photo.naturalHeight;
      this.page.style.setProperty('--aspect', Math.min(Math.max(aspect, 1 / 8), 8));
    }
    const outlines = region !== null ? [regions[region]]
      : swapping ? regions.map(({box}) => ({box, offered: true})) : [];
    const common = {photo, opacity: this.opacity / 100, outlines, point: [this.x, this.y]};
    const foreign = backdrop ? {backdrop, box: regions[region].box} : {};
    const found = [];
    this.maps.forEach((panel, network) => {
      panel.shown = {};
      for (const [kind, plot] of Object.entries(panel.plots)) {
        const map = kind === 'own' || swapping ? this.content(network, kind, region) : undefined;
        if (map === null || map instanceof Error) found.push(map);
        panel.shown[kind] = map && map.shape ? this.ranged(map, kind) : null;
        const drawn = panel.shown[kind];
        const peak = this.view === 'affinity' && kind !== 'change' && drawn ? drawn.far : null;
        plot.draw({...common, map: drawn, peak, ...(kind === 'own' ? {} : foreign)});
        plot.figure.classList.toggle('waiting', map === null);
      }
      panel.readout.textContent = this.readout(panel.shown, network, region) || '\u00a0';
    });
    this.image.plots.own.draw({...common, map: null});
    this.image.plots.foreign.draw({...common, map: null, ...foreign});
    const failure = found.find((item) => item instanceof Error) || this.unread(name);
    this.waiting = found.includes(null) || !photo;
    this.tell(failure, name, swapping && region !== null ? this.pictures[background].name : '',
      swapping && region === null);
    this.reflect(swapping);
  }

  ranged(map, kind) {
    if (!map.values) return map;
    const read = readings(map, this.x, this.y);
    const top = Math.max(read.high, read.low + 1e-6);
    return {...map, ...read, range: this.scale === 'fixed' || !read.count ? [0, 1] : [read.low, top]};
  }

  readout({own}, network, region) {
    const parts = [];
    if (this.view === 'pca') parts.push(`components 1 to 3 of ${this.components === 'all' ? 'all images' : 'this image'}`);
    if (this.view === 'affinity' && own) {
      parts.push(`mean ${own.mean.toFixed(2)}`);
      if (own.far.value > -Infinity) parts.push(`best match far away ${own.far.value.toFixed(2)}`);
    }
    if (this.view === 'lsc' && own) parts.push(`mean ${own.mean.toFixed(2)}`, `lowest ${own.low.toFixed(2)}`);
    const swapped = region !== null && this.result('features', network, region);
    if (swapped && swapped.change) {
      const {mean, kept} = swapped.change;
      const count = kept.reduce((sum, value) => sum + value, 0);
      parts.push(mean === null ? 'no patch lies entirely inside the region'
        : `mean change ${mean.toFixed(3)} of ${count} kept ${count === 1 ? 'patch' : 'patches'}`);
    }
    return parts.join(' · ');
  }

  tell(failure, name, background, outside) {
    const place = `${name}, point at ${this.x.toFixed(2)} from the left, ${this.y.toFixed(2)} from the top`;
    const from = background ? ` · surroundings of ${background}` : '';
    const message = failure ? failure.message : this.waiting ? `Computing ${name}…`
      : outside ? 'No region in this file holds the point: move it into a dashed box.' : place + from;
    const status = document.getElementById('status');
    if (status.textContent !== message) status.textContent = message;
    this.page.classList.toggle('alert', Boolean(failure) || this.waiting || outside);
  }

  /* Controls as the state is, however it was changed. */
  reflect(swapping) {
    for (const input of document.querySelectorAll('.bar input[type=radio]')) {
      input.checked = this[input.name] === input.value;
    }
    this.slider.value = this.opacity;
    this.toggle.setAttribute('aria-pressed', String(this.swapped));
    this.page.dataset.view = this.view;
    this.page.classList.toggle('swapping', swapping);
    document.getElementById('save').disabled = this.waiting;
  }

  /* All panels as one PNG, drawn from what the page shows. */
  save() {
    const style = getComputedStyle(this.page);
    const color = (name) => style.getPropertyValue(name).trim();
    const rows = this.panels.map(({panel, readout, layer, plots}) => ({
      name: panel.querySelector('h2').textContent + (layer ? ` · ${layer.selectedOptions[0].text}` : ''),
      text: readout.textContent.trim(),
      canvases: Object.values(plots).map(({canvas}) => canvas).filter(({offsetParent}) => offsetParent),
    })).filter(({canvases}) => canvases.length);
    const what = {affinity: 'cosine with the point', pca: 'principal components', photo: 'photo',
      lsc: 'local semantic consistency'}[this.view];
    const colors = this.scale === 'fixed' ? '0 to 1' : "each map's lowest to its highest";
    const scale = ['affinity', 'lsc'].includes(this.view) ? `, colors from ${colors}` : '';
    const caption = `${what}${scale} · ${document.getElementById('status').textContent}`;
    drawSheet(rows, caption, color).toBlob((blob) => {
      const link = Object.assign(document.createElement('a'), {href: URL.createObjectURL(blob),
        download: `${this.view}_${this.pictures[this.picture].name.replace(/[^\w.-]+/g, '_')}.png`});
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }, 'image/png');
  }
}

window.affinityExplorer = new Explorer(JSON.parse(document.getElementById('index').textContent));
