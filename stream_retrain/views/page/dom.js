// Nodes of the page, and numbers in words.

import { number } from "./chart.js";

export const byId = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function put(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

export const whole = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 3) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

export const evidence = (value) => (value >= 1e6 ? "over a million" : value >= 100 ? whole(value) : number(value, 2));
export const plural = (count, word) => `${whole(count)} ${word}${count === 1 ? "" : "s"}`;

// A plain table: made once, its cells changed in place. The first cell of a row is its heading.
export function fill(table, columns, lines) {
  if (!table.tHead) {
    const cells = columns.map(([name, look]) => el("th", { scope: "col", role: "columnheader", class: look }, name));
    table.append(el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...cells)), el("tbody", { role: "rowgroup" }));
  }
  const body = table.tBodies[0];
  while (body.rows.length > lines.length) body.lastChild.remove();
  lines.forEach((line, place) => {
    const row = body.rows[place] ?? body.appendChild(el("tr", { role: "row" }));
    line.forEach((value, at) => {
      const head = at === 0;
      const cell = row.cells[at] ?? row.appendChild(head
        ? el("th", { scope: "row", role: "rowheader", class: columns[at][1] })
        : el("td", { role: "cell", class: columns[at][1], "data-label": columns[at][0] }));
      put(cell, value);
    });
  });
}
