"""What a user may write, and what is said of mistakes."""
