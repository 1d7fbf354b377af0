// A file that is chosen, as text in a field: the form sends that.
export const fileInto = (label) => {
  const field = document.getElementById(label.dataset.file);
  const input = label.querySelector("input");
  label.hidden = false;
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (file) field.value = await file.text();
  });
};
