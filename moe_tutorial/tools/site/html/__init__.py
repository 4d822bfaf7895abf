"""What the site adds to its pages around the lessons, and how pages load."""
