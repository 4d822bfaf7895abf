"""The questions of each lesson's quiz, one JSON file per lesson, and the widget that asks them."""
