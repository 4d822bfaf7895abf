"""How it is made: the lessons run and stored, the website, a learner's folder, nbgrader, the command line."""
