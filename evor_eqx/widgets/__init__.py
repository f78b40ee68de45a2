"""What answers in a notebook while it is looked at: canvases, controls, and the views that are built from them."""
