// Sorts tables, and lights up a run: its row in tables and its marks in figures. The page works without it.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const down = head.ariaSort === "none" ? head.classList.contains("number") : head.ariaSort === "ascending";
    for (const other of head.parentNode.cells) if (other.ariaSort) other.ariaSort = "none";
    head.ariaSort = down ? "descending" : "ascending";
    const order = (row) => row.cells[column].dataset.order;
    const compare = (a, b) => {
      if (order(a) === "" || order(b) === "") return (order(a) === "") - (order(b) === "");
      const difference = head.classList.contains("number")
        ? order(a) - order(b) : order(a).localeCompare(order(b));
      return down ? -difference : difference;
    };
    body.append(...[...body.rows].sort(compare));
  });
}

const main = document.querySelector("main");
const about = new Map();  // key of a run -> its rows and marks
for (const part of main.querySelectorAll("[data-run]")) {
  about.set(part.dataset.run, [...(about.get(part.dataset.run) ?? []), part]);
}
const told = document.createElement("p");
told.className = "told";
told.setAttribute("role", "status");
main.append(told);
let lit = null;

function light(key, text = "") {
  for (const part of about.get(lit) ?? []) part.classList.remove("lit");
  lit = key === lit && !text ? null : key;
  for (const part of about.get(lit) ?? []) {
    part.classList.add("lit");
    if (part.localName === "g") part.parentNode.append(part);  // above the others
  }
  main.classList.toggle("lighting", lit !== null);
  told.textContent = lit === null ? "" : text;
}

main.addEventListener("click", (event) => {
  const part = event.target.closest("[data-run]");
  if (!part || event.target.closest("a, button")) return;
  const text = (part.querySelector("title") ?? part.cells?.[0])?.textContent.trim();
  light(part.dataset.run, part.classList.contains("lit") && told.textContent === text ? "" : text);
});
for (const row of main.querySelectorAll("tr[data-run]")) row.tabIndex = 0;
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && lit !== null) light(lit);
  if (event.key === "Enter" && event.target.matches("tr[data-run]")) event.target.click();
});
