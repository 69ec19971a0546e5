"""Start, kill, starve and damage real `zoo` processes."""
