// The maps: points on a canvas, coloured by what is chosen; the crop below the pointer.
for (const box of document.querySelectorAll(".map")) {
  const data = JSON.parse(box.querySelector("script").textContent);
  const canvas = box.querySelector("canvas"), tip = box.querySelector(".tip");
  const pen = canvas.getContext("2d"), grey = "#8d8d8d", edge = 12;
  const wide = Math.max(1, ...data.x), tall = Math.max(1, ...data.y), count = data.x.length;
  const names = Object.keys(data.groups);
  let by = names[0], over = -1, scale = 1, left = 0;

  const tint = i => {
    const group = data.groups[by];
    return group && group.ids[i] >= 0 ? group.colours[group.ids[i]] : grey;
  };
  const at = i => [left + data.x[i] * scale, edge + data.y[i] * scale];

  function draw() {
    const width = canvas.parentElement.clientWidth, sharp = window.devicePixelRatio || 1;
    scale = Math.min((width - 2 * edge) / wide, Math.max(320, Math.min(620, width)) / tall);
    left = (width - wide * scale) / 2;
    const height = tall * scale + 2 * edge, group = data.groups[by];
    canvas.style.height = height + "px";
    canvas.width = width * sharp;
    canvas.height = height * sharp;
    pen.scale(sharp, sharp);
    const mine = over >= 0 && group ? group.ids[over] : -1;
    const radius = count > 1200 ? 2.5 : 3.5;
    // Points without a group first, so that they hide nothing.
    for (const grouped of [false, true]) for (let i = 0; i < count; i++) {
      const id = group ? group.ids[i] : -1, [x, y] = at(i);
      if (grouped !== id >= 0) continue;
      pen.globalAlpha = mine >= 0 && id !== mine ? 0.15 : id >= 0 ? 0.9 : 0.6;
      pen.fillStyle = tint(i);
      pen.beginPath();
      pen.arc(x, y, i === over ? 2 * radius : id >= 0 ? radius : 0.7 * radius, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
  }

  function legend() {
    const group = data.groups[by], place = box.querySelector(".legend");
    place.replaceChildren();
    if (!group) return;
    const said = group.legend ? group.names.map((name, k) => [name, group.colours[k]]) : [];
    if (group.ids.includes(-1)) said.push([group.none, grey]);
    for (const [name, colour] of said) {
      const item = place.appendChild(document.createElement("span"));
      item.textContent = name;
      item.style.setProperty("--tint", colour);
    }
    if (!group.legend) place.append(`${group.names.length} groups, each in a colour`);
  }

  function show(event) {
    const frame = canvas.getBoundingClientRect();
    const px = event.clientX - frame.left, py = event.clientY - frame.top;
    let near = 15 * 15, found = -1;
    for (let i = 0; i < count; i++) {
      const [x, y] = at(i), gap = (x - px) ** 2 + (y - py) ** 2;
      if (gap < near) [near, found] = [gap, i];
    }
    if (found === over) return;
    over = found;
    draw();
    tip.hidden = over < 0;
    if (over < 0) return;
    tip.replaceChildren();
    if (data.thumb.length) {
      const [across, down] = data.sheet, each = across * down, place = data.thumb[over];
      const crop = tip.appendChild(document.createElement("i"));
      crop.className = `thumb s${Math.floor(place / each)}`;
      crop.style.setProperty("--x", place % each % across);
      crop.style.setProperty("--y", Math.floor(place % each / across));
    }
    for (const name of names) {
      const group = data.groups[name], id = group.ids[over];
      tip.appendChild(document.createElement("div")).textContent = id < 0 ? group.none : group.names[id];
    }
    const [x, y] = at(over), right = x > frame.width / 2;
    tip.style.left = right ? "auto" : x + 12 + "px";
    tip.style.right = right ? frame.width - x + 12 + "px" : "auto";
    tip.style.top = Math.max(0, Math.min(y - tip.offsetHeight / 2, frame.height - tip.offsetHeight)) + "px";
  }

  for (const name of names) {
    const label = box.querySelector(".choice").appendChild(document.createElement("label"));
    const button = document.createElement("input");
    Object.assign(button, { type: "radio", checked: name === by });
    button.name = `by-${[...document.querySelectorAll(".map")].indexOf(box)}`;
    button.addEventListener("change", () => { by = name; draw(); legend(); });
    label.append(button, ` ${name}`);
  }
  canvas.addEventListener("pointermove", show);
  canvas.addEventListener("pointerdown", show);
  canvas.addEventListener("pointerleave", () => { over = -1; tip.hidden = true; draw(); });
  window.addEventListener("resize", draw);
  draw();
  legend();
}

// The filters: rows of crops that say a word, or hold something wrong.
for (const section of document.querySelectorAll("section")) {
  const rows = [...section.querySelectorAll(".row")];
  if (rows.length < 4) continue;
  const said = rows.map(row => [row.textContent, ...[...row.querySelectorAll("[title]")]
    .map(part => part.title)].join(" ").toLowerCase());
  const bar = document.createElement("div");
  const word = Object.assign(document.createElement("input"), { type: "search",
    placeholder: "Filter rows by person, camera or file" });
  word.setAttribute("aria-label", "Filter rows");
  bar.className = "filter";
  bar.append(word);
  const wrong = Object.assign(document.createElement("input"), { type: "checkbox" });
  if (section.querySelector(".wrong")) {
    const label = bar.appendChild(document.createElement("label"));
    label.append(wrong, " only rows with ✗");
  }
  bar.addEventListener("input", () => rows.forEach((row, i) => {
    row.hidden = !said[i].includes(word.value.trim().toLowerCase())
      || wrong.checked && !row.querySelector(".wrong");
  }));
  section.querySelector("h2").after(bar);
}
