"""The widgets of the lessons, except the playground and the regions."""
