// The theme wraps wide tables: let the keyboard scroll them.
const focusable = () => {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) table.tabIndex = 0;
};
new MutationObserver(focusable).observe(document.body, { childList: true, subtree: true });
focusable();
