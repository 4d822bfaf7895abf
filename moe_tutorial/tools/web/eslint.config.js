import js from "@eslint/js";
import globals from "globals";

// The rules for all of the project's JavaScript; `make check` runs them, and prettier beside them.
export default [
  {
    ...js.configs.recommended,
    languageOptions: { ecmaVersion: 2025, sourceType: "module", globals: globals.browser },
    rules: { ...js.configs.recommended.rules, "max-len": ["error", 120] }, // prettier leaves texts and comments
  },
  { files: ["tests/**"], languageOptions: { globals: globals.node } },
  // A widget's modules: bundle() cuts comments, indentation and ends of lines, and must not find any in a text.
  {
    files: ["moe_tutorial/show/**"],
    rules: {
      "no-restricted-syntax": [
        "error",
        { selector: "TemplateElement[value.raw=/\\n| \\/\\/ /]", message: "bundle() would cut it" },
        { selector: "Literal[raw=/ \\/\\/ |\\\\\\n/]", message: "bundle() would cut it" },
      ],
    },
  },
  // Scripts of the site; lazy.js fetches Plotly.
  {
    files: ["moe_tutorial/tools/site/static/*"],
    languageOptions: {
      sourceType: "script",
      globals: { ...globals.browser, Plotly: "readonly" },
    },
  },
];
