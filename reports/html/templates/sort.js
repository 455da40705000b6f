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
