// Parts of a page that are kept as the gateway has them now: those with `data-refresh` are taken from the same page,
// asked for again. A page in the background asks for nothing.
const PERIOD_MS = 2000;

// Whoever writes into a form, or has chosen something in it, is not disturbed.
const isInUse = (part) => {
  const isChanged = (input) => input.value !== input.defaultValue || input.checked !== input.defaultChecked;
  return part.contains(document.activeElement) || [...part.querySelectorAll("input")].some(isChanged);
};

const say = (text) => {
  const place = document.getElementById("missing");
  if (!place) return;
  if (place.textContent !== text) place.textContent = text;
  place.hidden = text === "";
};

const refresh = async () => {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  // Signed out meanwhile.
  if (answer.redirected) { location.reload(); return; }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const missing = page.getElementById("missing");
  if (!missing) throw new Error("this is no page of the gateway");
  say(missing.textContent);
  if (!answer.ok) return;
  for (const part of document.querySelectorAll("[data-refresh]")) {
    const now = page.getElementById(part.id);
    if (now && !isInUse(part) && now.innerHTML !== part.innerHTML) part.replaceChildren(...now.childNodes);
  }
};

export const keepFresh = () => {
  if (!document.querySelector("[data-refresh]")) return;
  const again = async () => {
    if (!document.hidden) {
      try {
        await refresh();
      } catch {
        say("The gateway does not answer: what is shown is what was known before.");
      }
    }
    setTimeout(again, PERIOD_MS);
  };
  setTimeout(again, PERIOD_MS);
};
