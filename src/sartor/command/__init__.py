"""The command line in four pieces: words -> a call, a call -> an answer, the screen, the process."""
