"""Methods: which weights move, one file each."""
