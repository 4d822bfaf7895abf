"""What lesson 10 shows of runs that take minutes, stored: the layer's speed, and the experts that ten GPTs ask for."""
