"""The specification: every public function in plain Python, one module per domain; imports nothing from sketchxc."""
