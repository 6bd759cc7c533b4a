() => {
  const PAUSE_MS = 600;
  const INSTANT_MS = 20;
  const generate = () => document.querySelector("#generate");

  // Redraw after a short pause when something is changed, where the switch says so, and at once with instant weights;
  // never two runs at once.
  const instant = () => document.body.classList.contains("instant");  // as ui/settings.py says
  let timer = null;
  const redraw = (pause) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (generate().disabled) redraw(pause);
      else if (!document.querySelector("#hint .refused")) generate().click();
    }, pause);
  };
  document.addEventListener("input", (event) => {
    const on = instant() || document.querySelector("#redrawing input")?.checked;
    const draws = event.target.closest("#pick, #settings") && !event.target.closest("#weights");  // draws by itself
    const writes = event.target.closest("#prompt");  // half a word means nothing yet
    if (on && draws) redraw(instant() && !writes ? INSTANT_MS : PAUSE_MS);
  });

  // An emptied number of a slider goes back to what it was: Gradio would make it the least that there is.
  const OF_SLIDER = '[aria-label^="number input for"]';
  let before = "";
  document.addEventListener("focusin", ({ target }) => {
    if (target.matches(OF_SLIDER)) before = target.value;
  });
  document.addEventListener("blur", ({ target }) => {
    if (!target.matches?.(OF_SLIDER) || target.value !== "") return;
    target.value = before;
    target.dispatchEvent(new Event("input", { bubbles: true }));
  }, true);

  // On a phone the digits form below the button.
  const show = (event, starts, result = "#result") => {
    if (event.isTrusted && innerWidth <= 800 && !generate().disabled && event.target.closest(starts))
      document.querySelector(result).scrollIntoView();
  };
  document.addEventListener("click", (event) => show(event, "#generate, #examples button"), true);
  document.addEventListener("click", (event) => show(event, "#lab-start, #lab-example", "#lab-result"), true);
  document.addEventListener("keydown", (event) => event.key === "Enter" && show(event, "#prompt"));

  document.addEventListener("redraw", () => redraw(INSTANT_MS));

  // Who waits is told the place in the queue and the time until the own run is done, which Gradio writes as
  // "queue: 12/30 | 3.1/9.0s" into an element of the status that is not shown.
  new MutationObserver((changes) => {
    for (const line of new Set(changes.map(({ target }) => target.parentElement?.closest?.(".status")).filter(Boolean))) {
      const text = line.querySelector("[data-testid=status-tracker]")?.textContent.replace(/\s+/g, "") || "";
      const found = text.match(/queue:(\d+)\/(\d+)\|([\d.]+)(?:\/([\d.]+))?s/), said = line.querySelector("[role=status]");
      if (!found || !said) continue;
      const [, place, of, passed, all] = found, left = Math.max(1, Math.round(all - passed));
      const wait = left < 100 ? `${left} s` : `${Math.round(left / 60)} min`;
      const words = `Others draw first: place ${place} of ${of}${all ? `, about ${wait}` : ""}.`;
      if (said.textContent !== words) said.textContent = words;
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });

  // A file dropped anywhere goes where the button Open a picture would put it: that of the Lab, or that of Draw.
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    document.body.classList.toggle("dropping", event.type === "dragover");
  };
  for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, mark);
  document.addEventListener("drop", (event) => {
    const inLab = document.querySelector("#lab-layout")?.offsetParent;
    const input = document.querySelector(`${inLab ? "#bring" : "#keeping"} input[type=file]`);
    if (!carries(event) || !input) return;
    if (!inLab) document.querySelector("[role=tab]").click();  // Draw
    const one = new DataTransfer();
    one.items.add(event.dataTransfer.files[0]);
    input.files = one.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
