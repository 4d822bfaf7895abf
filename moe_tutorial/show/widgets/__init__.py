"""The widgets of the lessons, except the playground, the regions and the live panel."""
