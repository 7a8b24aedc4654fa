// Draws the graph that graph_view.py holds, and tells it what the reader selects and moves.

const MARGIN = 36;
// Corners (0: a circle), turn, the size at which all look equally large, and the room for a label, both in radii.
const SHAPES = [[0, 0, 1, 1.8], [4, Math.PI / 4, 1.22, 1.6], [4, 0, 1.32, 1.6], [3, Math.PI / 2, 1.5, 1.25],
                [3, -Math.PI / 2, 1.5, 1.25]];
const ARROWS = {ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
const CSS = `
  .graph-view { max-width: 720px; font: 16px/1.4 system-ui, sans-serif; text-align: left;
                --paper: var(--jp-layout-color0, var(--vscode-editor-background, Canvas)); }
  .graph-view svg { display: block; width: 100%; height: auto; overflow: visible; user-select: none; }
  .graph-view svg:focus-visible { outline: 3px solid #1F83C4; outline-offset: -3px; border-radius: 6px; }
  .graph-view text { text-anchor: middle; dominant-baseline: central; fill: currentColor; font-size: 15px; }
  .graph-view text.inside { fill: #000; font-weight: 600; }
  .graph-view text.beside { stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; paint-order: stroke; }
  .graph-view [role=option] { cursor: pointer; }
  .graph-view .movable { touch-action: none; }
  .graph-view p { margin: 4px 0 0; min-height: 1.4em; font-size: 16px; }`;

function make(tag, attributes = {}, children = []) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// How far the rim of a node is from its centre, in the direction of an angle (of the drawing, where y points down).
function rim({group, radius}, angle) {
  const [corners, turn, size] = SHAPES[group], sector = 2 * Math.PI / corners;
  if (!corners) return radius * size;
  const within = (((-angle - turn) % sector) + sector) % sector - sector / 2;
  return radius * size * Math.cos(sector / 2) / Math.cos(within);
}

function outline(group, radius) {
  const [corners, turn, size] = SHAPES[group], r = radius * size;
  if (!corners) return `M${-r} 0a${r} ${r} 0 1 1 ${2 * r} 0a${r} ${r} 0 1 1 ${-2 * r} 0Z`;
  const angles = Array.from({length: corners}, (_, i) => turn + i * 2 * Math.PI / corners);
  return `M${angles.map((t) => `${(r * Math.cos(t)).toFixed(1)} ${(-r * Math.sin(t)).toFixed(1)}`).join("L")}Z`;
}

// The line from node a to node b, `bend` pixels to its left, and its arrowhead of the given length: two paths.
function link(a, b, bend, arrow) {
  const at = (p) => `${p.x.toFixed(1)} ${p.y.toFixed(1)}`;
  const leave = (node, to, gap) => {  // `gap` outside the rim of a node, on the way to a point
    const angle = Math.atan2(to.y - node.y, to.x - node.x), r = rim(node, angle) + gap;
    return {x: node.x + r * Math.cos(angle), y: node.y + r * Math.sin(angle)};
  };
  const dx = b.x - a.x, dy = b.y - a.y, length = Math.hypot(dx, dy) || 1, off = 2 * Math.min(bend / length, 0.12);
  let first = {x: (a.x + b.x) / 2 + off * dy, y: (a.y + b.y) / 2 - off * dx}, last = first;
  if (a === b) {  // a loop above the node
    first = {x: a.x - 1.6 * a.radius, y: a.y - 3 * a.radius};
    last = {x: a.x + 1.6 * a.radius, y: first.y};
  }
  const tip = leave(b, last, arrow ? 2 : 0);
  const neck = leave(b, last, arrow ? 2 + 0.7 * arrow : 0);
  const angle = Math.atan2(tip.y - last.y, tip.x - last.x);
  const barb = (t) => ({x: tip.x - arrow * Math.cos(angle + t), y: tip.y - arrow * Math.sin(angle + t)});
  const curve = a === b ? `C${at(first)} ` : "Q";
  const head = arrow ? `M${at(tip)}L${at(barb(0.42))}L${at(barb(-0.42))}Z` : "";
  return [`M${at(leave(a, first, 0))}${curve}${at(last)} ${at(neck)}`, head];
}

// Where a label has most room, away from the node's edges and inside the drawing: its middle, seen from the node.
function beside(node, neighbours, width, gap, drawing) {
  const places = [[0, 1], [0, -1], [1, 0], [-1, 0]].map(([sx, sy]) => {
    const away = rim(node, Math.atan2(sy, sx)) + gap, x = sx * (away + width / 2), y = sy * (away + 9);
    const [right, low] = drawing, [px, py] = [node.x + x, node.y + y];
    let cost = Math.max(0, width / 2 - px, px + width / 2 - right, 9 - py, py + 9 - low);
    for (const {x: ox, y: oy} of neighbours) {
      const dx = ox - node.x, dy = oy - node.y;
      cost += Math.max(0, (dx * sx + dy * sy) / (Math.hypot(dx, dy) || 1)) ** 2;
    }
    return {x, y, cost};
  });
  return places.reduce((best, place) => place.cost < best.cost - 1e-6 ? place : best);
}

// JupyterLab and reveal.js act on keys before a slider or a graph sees them: in slides an arrow would turn the page.
// Buttons of which one is down know no arrows themselves: here an arrow presses the next one, round the row.
function keepKeys() {
  if (window.courseKeepsKeys) return;
  window.courseKeepsKeys = true;
  const button = (event) => event.target.closest?.(".widget-toggle-button");
  const keys = (event) => /^(Arrow|Home|End|Page|Escape)/.test(event.key) || (button(event) && /^( |Enter)$/.test(event.key));
  const widget = (event) =>
    event.target.closest?.(".jupyter-widgets [role=slider], .widget-readout, .widget-toggle-button, .graph-view svg");
  window.addEventListener("keydown", (event) => {
    widget(event)?.toggleAttribute("data-lm-suppress-shortcuts", keys(event));
  }, true);
  document.body.addEventListener("keydown", (event) => {
    if (!widget(event) || !keys(event)) return;
    event.stopPropagation();
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key], pressed = button(event);
    if (!pressed || !step) return;
    event.preventDefault();
    const row = [...pressed.parentElement.querySelectorAll(".widget-toggle-button")];
    const next = row[(row.indexOf(pressed) + step + row.length) % row.length];
    next.focus();
    next.click();
  });
}

function render({model, el}) {
  keepKeys();
  if (model.get("positions") === undefined) return;  // a KeepKeys, which draws nothing
  const id = `graph-${Math.random().toString(36).slice(2)}`;
  const links = make("g", {"aria-hidden": true}), options = make("g", {role: "presentation"});
  const svg = make("svg", {role: "listbox", tabindex: 0, "data-prevent-swipe": ""}, [links, options]);
  const [style, description] = ["style", "p"].map((tag) => document.createElement(tag));
  style.textContent = CSS;
  description.setAttribute("aria-live", "polite");
  el.classList.add("graph-view");
  el.append(style, svg, description);
  let lines = [];  // of each edge: the path it is drawn as, and whether that runs from target to source
  let dragged = null, lastSent = 0, timer;
  let drawing = [640, 384];  // its width is the cell's, in pixels, so that the text keeps its size in a narrow one
  const toDrawing = ([x, y]) => ({x: MARGIN + x * (drawing[0] - 2 * MARGIN),
                                  y: MARGIN + (1 - y) * (drawing[1] - 2 * MARGIN)});
  const toUnit = ({x, y}) => [(x - MARGIN) / (drawing[0] - 2 * MARGIN), 1 - (y - MARGIN) / (drawing[1] - 2 * MARGIN)];

  function draw() {
    const groups = model.get("groups"), selected = model.get("selected"), count = groups.length;
    const width = Math.min(640, Math.max(240, el.clientWidth || 640));
    drawing = [width, width * model.get("aspect")];
    const radius = Math.min(width / 20, count <= 10 ? 26 : count <= 20 ? 20 : count <= 36 ? 16 : 13);
    const nodes = model.get("positions").map((p, i) => ({...toDrawing(p), radius, group: groups[i]}));
    svg.setAttribute("viewBox", `0 0 ${drawing.join(" ")}`);
    svg.setAttribute("aria-label", model.get("alt"));
    svg.classList.toggle("movable", model.get("movable"));
    drawLinks(nodes);
    if (!options.firstChild) options.append(...nodes.map((_, i) => make("g", {role: "option", id: `${id}-${i}`})));
    nodes.forEach((_, i) => drawNode(options.children[i], i, nodes));
    svg.setAttribute("aria-activedescendant", selected === null ? "" : `${id}-${selected}`);
    if (description.textContent !== model.get("description")) description.textContent = model.get("description");
  }

  function drawLinks(nodes) {
    const [sources, targets] = model.get("edge_index"), directed = model.get("directed");
    const active = new Set(model.get("active_edges")), texts = model.get("edge_labels");
    const edges = new Map();  // the numbers of the edges of each line: undirected, both directions are one line
    sources.forEach((v, k) => {
      const ends = directed ? [v, targets[k]] : [v, targets[k]].sort((a, b) => a - b);
      edges.set(ends.join(), [...(edges.get(ends.join()) ?? []), k]);
    });
    const below = [], above = [], written = [];
    lines = [];
    for (const [ends, numbers] of edges) {
      const [v, u] = ends.split(",").map(Number), bend = directed && edges.has(`${u},${v}`) ? 12 : 0;
      const strong = numbers.some((k) => active.has(k)), stroke = strong ? 4 : 1.8;
      const [line, head] = link(nodes[v], nodes[u], bend, directed ? 7 + 2.2 * stroke : 0);
      const path = make("path", {d: line, fill: "none", stroke: "currentColor", "stroke-width": stroke});
      const opacity = strong ? 1 : active.size ? 0.3 : 0.6;
      (strong ? above : below).push(make("g", {opacity}, [path, make("path", {d: head, fill: "currentColor"})]));
      for (const k of numbers) {
        lines[k] = {path, backwards: sources[k] !== v};
        if (!texts[k]) continue;
        const {x, y} = path.getPointAtLength(path.getTotalLength() / 2);
        written.push(make("text", {class: "beside", x, y}, [texts[k]]));
      }
    }
    links.replaceChildren(...below, ...above, ...written);
  }

  function drawNode(g, i, nodes) {
    const [sources, targets] = model.get("edge_index"), label = model.get("labels")[i], node = nodes[i];
    const {radius, group} = node, selected = model.get("selected") === i;
    const into = sources.filter((_, k) => targets[k] === i), out = targets.filter((_, k) => sources[k] === i);
    const both = [...new Set([...into, ...out])], list = (numbers) => numbers.join(", ") || "none";
    const edges = model.get("directed") ? `edges from ${list(into)}, to ${list(out)}` : `links to ${list(both)}`;
    const named = label === "" || label === String(i) ? "" : `, ${label}`;
    const grouped = new Set(model.get("groups")).size > 1 ? `, group ${group}` : "";
    g.setAttribute("aria-label", `node ${i}${named}${grouped}, ${edges}`);
    g.setAttribute("aria-selected", selected);
    g.setAttribute("transform", `translate(${node.x} ${node.y})`);
    const parts = [make("circle", {r: Math.max(radius, 18), fill: "transparent"}),  // room for a finger
                   make("path", {d: outline(group, radius), fill: model.get("_colours")[group]})];
    const ring = {d: outline(group, radius + 5), fill: "none", stroke: "currentColor", "stroke-width": 3.5};
    if (selected) parts.push(make("path", ring));
    const size = radius < 16 ? 14 : 16, width = 0.58 * size * label.length;
    const inside = width <= SHAPES[group][3] * radius, gap = selected ? 9 : 4;
    const {x, y} = inside ? {x: 0, y: 0} : beside(node, both.map((k) => nodes[k]), width, gap, drawing);
    parts.push(make("text", {class: inside ? "inside" : "beside", x, y, style: `font-size: ${size}px`}, [label]));
    g.replaceChildren(...parts);
  }

  function send() {  // at most 30 times a second
    clearTimeout(timer);
    const wait = lastSent + 33 - Date.now();
    if (wait > 0) { timer = setTimeout(send, wait); return; }
    lastSent = Date.now();
    try { model.save_changes(); } catch { /* a page without a kernel: what the reader sees has changed all the same */ }
  }
  const select = (i) => { model.set("selected", i); send(); };
  function move(i, to) {
    const inside = to.map((value) => Math.min(1, Math.max(0, value)));
    model.set("positions", model.get("positions").map((p, k) => k === i ? inside : p));
    send();
  }
  // The nearest node in a direction, where one that is off to the side counts as farther away.
  function neighbour(i, [sx, sy]) {
    const points = model.get("positions").map(toDrawing);
    const costs = points.map(({x, y}, k) => {
      const dx = x - points[i].x, dy = points[i].y - y, along = dx * sx + dy * sy;
      return k === i ? 1e9 : along > 1 ? along + 2.5 * Math.abs(dx * sy - dy * sx) : Infinity;
    });
    return costs.indexOf(Math.min(...costs));
  }

  const pointer = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  svg.addEventListener("pointerdown", (event) => {
    const i = [...options.children].indexOf(event.target.closest("[role=option]"));
    if (i < 0 || event.button !== 0) return;
    svg.focus({preventScroll: true});
    select(i);
    if (!model.get("movable")) return;
    const p = pointer(event), centre = toDrawing(model.get("positions")[i]);
    dragged = {i, dx: centre.x - p.x, dy: centre.y - p.y};
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    const p = pointer(event);
    if (dragged) move(dragged.i, toUnit({x: p.x + dragged.dx, y: p.y + dragged.dy}));
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { dragged = null; });
  svg.addEventListener("keydown", (event) => {
    const selected = model.get("selected"), step = ARROWS[event.key], last = options.childElementCount - 1;
    const jump = {Escape: null, Home: 0, End: last}[event.key];
    if (event.ctrlKey || event.altKey || event.metaKey || !(step || jump !== undefined)) return;
    if (!step) select(jump);
    else if (selected === null) select(0);
    else if (event.shiftKey && model.get("movable")) {
      move(selected, model.get("positions")[selected].map((value, axis) => value + 0.02 * step[axis]));
    } else select(neighbour(selected, step));
    event.preventDefault();
  });

  function pulse() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const trips = model.get("active_edges").map((k) => lines[k]).filter(Boolean);
    const dots = trips.map(() => make("circle", {r: 8, fill: model.get("_colours")[1], "aria-hidden": true}));
    const begin = performance.now();
    requestAnimationFrame(function frame(now) {
      const share = Math.max(0, (now - begin) / 600);
      trips.forEach(({path, backwards}, k) => {
        const {x, y} = path.getPointAtLength((backwards ? 1 - share : share) * path.getTotalLength());
        dots[k].setAttribute("transform", `translate(${x} ${y})`);
      });
      if (share < 1) { svg.append(...dots); requestAnimationFrame(frame); } else dots.forEach((dot) => dot.remove());
    });
  }

  draw();
  const resized = new ResizeObserver(() => requestAnimationFrame(draw));
  resized.observe(el);
  model.on("change", draw);
  model.on("change:_pulses", pulse);
  return () => { resized.disconnect(); model.off("change", draw); model.off("change:_pulses", pulse); };
}

export default {render};
