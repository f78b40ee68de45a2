// What the theme leaves without a name for screen readers.
document.addEventListener("DOMContentLoaded", () => {
  for (const summary of document.querySelectorAll("nav summary")) summary.setAttribute("aria-label", "pages below");
  for (const sidebar of document.querySelectorAll(".bd-sidebar-primary")) {
    sidebar.setAttribute("role", "navigation");
    sidebar.setAttribute("aria-label", "site");
  }
});
