"""Still formats: which one a file is, what it says of its picture, and what OpenCV cannot do with it."""
