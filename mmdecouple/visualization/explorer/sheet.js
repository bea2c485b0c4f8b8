/* Rows {name, text, canvases} as one picture with a caption; `color` looks up the colors of the page. */
function drawSheet(rows, caption, color) {
  const width = Math.max(...rows.map(({canvases}) => Math.max(...canvases.map((canvas) => canvas.width))));
  const unit = width / 22, across = Math.max(...rows.map(({canvases}) => canvases.length));
  const columns = across > 1 ? 1 : Math.min(rows.length, rows.length <= 4 ? 4 : Math.ceil(rows.length / 2));
  const tall = Math.max(...rows.map(({canvases}) => canvases[0].height * width / canvases[0].width)) + 3.4 * unit;
  const sheet = Object.assign(document.createElement('canvas'), {
    width: Math.max(columns, across) * (width + unit) + unit,
    height: Math.ceil(rows.length / columns) * tall + 3 * unit});
  const pen = sheet.getContext('2d');
  pen.fillStyle = color('--paper');
  pen.fillRect(0, 0, sheet.width, sheet.height);
  const write = (text, x, y, shade, font) => {
    Object.assign(pen, {fillStyle: shade, font: `${font} system-ui, sans-serif`});
    pen.fillText(text, x, y, sheet.width - x);
  };
  rows.forEach(({name, text, canvases}, index) => {
    const x = unit + (index % columns) * (width + unit), y = Math.floor(index / columns) * tall + unit;
    write(name, x, y + 0.9 * unit, color('--ink'), `600 ${unit}px`);
    write(text, x, y + 2.1 * unit, color('--muted'), `${0.8 * unit}px`);
    canvases.forEach((canvas, place) => pen.drawImage(canvas, x + place * (width + unit), y + 2.5 * unit, width,
      canvas.height * width / canvas.width));
  });
  write(caption, unit, sheet.height - 0.8 * unit, color('--muted'), `${0.8 * unit}px`);
  return sheet;
}
