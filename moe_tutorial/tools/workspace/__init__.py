"""A learner's own folder of the course: lessons with stubs in place of solutions, brought up to date without loss."""
