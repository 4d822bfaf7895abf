"""What the site makes of a lesson's cells and text."""
