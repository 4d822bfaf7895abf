"""What lessons say of trees beside other layers, stored where it takes long."""
