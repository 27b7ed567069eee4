"""What happens to a board before it leaves the workshop: the application is built, flashed, tested and labelled."""
