"""What a user can ask for: one file, one function, thin."""
