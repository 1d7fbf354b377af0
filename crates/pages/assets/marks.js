// Experiments that are marked to be compared: the first one that is marked is what the others are compared with.
export const marks = (form) => {
  const most = Number(form.dataset.compare);
  const baseline = form.querySelector("[name=baseline]");
  const told = form.querySelector("[data-marked]");
  const boxes = [...form.querySelectorAll("[name=id]")];
  let order = boxes.filter((box) => box.checked).map((box) => box.value);
  const show = () => {
    const [first, ...others] = order;
    baseline.disabled = first === undefined;
    baseline.value = first ?? "";
    for (const box of boxes) box.disabled = !box.checked && order.length >= most;
    if (first === undefined) told.textContent = `Mark 2 to ${most}: the first is what the others are compared with.`;
    else told.textContent = `${others.length ? others.join(", ") : "…"} against ${first}`;
  };
  form.addEventListener("change", ({ target }) => {
    if (target.name !== "id") return;
    order = order.filter((id) => id !== target.value);
    if (target.checked) order.push(target.value);
    show();
  });
  show();
};
