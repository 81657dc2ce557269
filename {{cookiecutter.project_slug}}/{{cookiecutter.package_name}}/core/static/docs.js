const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

SwaggerUIBundle({
  url: document.currentScript.dataset.url,
  dom_id: "#docs",
  deepLinking: true,
  syntaxHighlight: { theme: "arta" }, // the default writes numbers too faintly
  // People who jump from landmark to landmark would miss what the API is.
  onComplete: () => document.querySelector(".information-container").setAttribute("role", "banner"),
});
