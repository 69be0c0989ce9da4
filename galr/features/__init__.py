"""What frozen encoders say of every image and sentence, computed once."""
