"""Pictures of faces and plots, drawn with OpenCV alone."""
