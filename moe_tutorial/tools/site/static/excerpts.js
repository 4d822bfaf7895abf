/* global DOCUMENTATION_OPTIONS */
// A result's excerpt comes from its page, which a browser does not let a page read that was opened from a folder.
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== "file:";
