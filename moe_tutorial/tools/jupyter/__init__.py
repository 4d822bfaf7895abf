"""JupyterLab and its kernels, as the course starts and configures them."""
