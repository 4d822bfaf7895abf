"""What trains the playground: the page, or torch in the kernel."""
