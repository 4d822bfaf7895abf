"""Tools around the lessons: running and storing them, the website, learners' folders, nbgrader, the command line."""
