"""What becomes of a build's Stages: in which order runners may have them, and what ends, restarts or cancels them."""
