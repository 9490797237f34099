"""A script for a browser: texts that do not stand out from what is behind them (WCAG 2.2, 1.4.3)."""

FAINT_TEXT = """() => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
  const brush = canvas.getContext("2d", {willReadFrequently: true});
  const plain = (color) => {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = color;
    brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data];
  };
  const linear = (c) => (c / 255 <= .03928 ? c / 255 / 12.92 : ((c / 255 + .055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = plain(getComputedStyle(node).backgroundColor);
      if (color[3] > 200) return color;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest("svg, option")) continue;
    const pair = [light(plain(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    if ((pair[0] + .05) / (pair[1] + .05) < 4.5) faint.push(node.textContent.trim().slice(0, 40));
  }
  return faint;
}"""
