/* global DOCUMENTATION_OPTIONS */
// A search result's excerpt is fetched from its page, which browsers forbid to pages opened from a folder.
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== "file:";
