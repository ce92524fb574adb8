// The beginning: the page is made ready once, and drawn.

function prepare() {
  for (const [id, chart] of Object.entries(CHARTS)) {
    const box = $(`chart-${id}`);
    box.append(element("i", { class: "cursor", hidden: "" }), element("i", { class: "brush", hidden: "" }));
    if (!chart.apart) listen(chart, box, () => DRAWN.get(id)?.view);
    if (chart.columns)
      for (const [name, value] of Object.entries({
        role: "slider",
        tabindex: 0,
        "aria-valuemin": FIRST,
        "aria-valuemax": Math.max(FIRST, DATA.intervals - 1),
        "aria-valuenow": 0,
        "aria-valuetext": "use the arrow keys",
      }))
        box.setAttribute(name, value);
    const details = document.querySelector(`details[data-of="${id}"]`);
    details.addEventListener("toggle", () => fillTable(details, chart));
  }
  for (const mark of document.querySelectorAll(".swatch[data-variant]")) mark.append(swatch(Number(mark.dataset.variant)));
  const buttons = {
    earlier: () => zoomBy(1, -0.5),
    later: () => zoomBy(1, 0.5),
    closer: () => zoomBy(0.5),
    wider: () => zoomBy(2),
    whole: zoomToEverything,
  };
  for (const [id, press] of Object.entries(buttons)) $(id).addEventListener("click", press);
  $("log-more").addEventListener("click", () => {
    LOG.limit += 5 * LOG_ROWS;
    fillLog();
  });
  $("copy").addEventListener("click", copyCommand);
  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest(".chart")) stopReading();
  });
  window.addEventListener("beforeprint", () => document.querySelectorAll("details.section").forEach((section) => (section.open = true)));
}

async function copyCommand() {
  try {
    await navigator.clipboard.writeText($("command").textContent);
    $("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren($("command"));
  }
}

legend();
choices();
kinds();
prepare();
refresh();
