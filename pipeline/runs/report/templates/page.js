// Without this script the sections open by a click alone, and the pictures of a panel are next to each other.
"use strict";

// A link to a section opens it, and a printed page has all of them open.
const open = (details) => { details.open = true; };
addEventListener("hashchange", () => document.querySelectorAll(`${location.hash} > details`).forEach(open));
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(open));

// One picture of a panel is swiped over another.
for (const panel of document.querySelectorAll(".swipe")) {
  const stage = panel.querySelector(".stage");
  const layers = [...stage.querySelectorAll(".layer")];
  const chosen = { left: layers[0].dataset.name, right: layers[layers.length - 1].dataset.name };

  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = 0;
  slider.max = 100;
  slider.step = 0.5;
  slider.value = 50;
  const divider = document.createElement("div");
  divider.className = "divider";

  const show = () => {
    stage.style.setProperty("--at", `${slider.value}%`);
    for (const layer of layers) {
      layer.classList.toggle("left", layer.dataset.name === chosen.left);
      layer.classList.toggle("right", layer.dataset.name === chosen.right);
    }
    slider.setAttribute("aria-label", `Swipe between ${chosen.left} and ${chosen.right}`);
    slider.setAttribute("aria-valuetext", `${Math.round(slider.value)} % ${chosen.left}`);
  };

  const controls = document.createElement("div");
  controls.className = "controls";
  for (const side of ["left", "right"]) {
    const label = document.createElement("label");
    const select = document.createElement("select");
    for (const layer of layers) {
      const name = layer.dataset.name;
      select.add(new Option(name, name, false, name === chosen[side]));
    }
    select.addEventListener("change", () => {
      chosen[side] = select.value;
      show();
    });
    label.append(side === "left" ? "Left" : "Right", select);
    controls.append(label);
  }

  slider.addEventListener("input", show);
  stage.append(divider, slider);
  stage.after(controls);
  panel.classList.add("on");
  show();
}
