"""What models cost: parameters, multiplications, memory, time, and communication between devices."""
