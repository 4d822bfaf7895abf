"""The questions of each lesson's quiz, one JSON file per lesson, and the widgets that ask them and show suspects."""
