"""Still formats: how to recognize them, what files say about their pictures, and what OpenCV gets wrong."""
