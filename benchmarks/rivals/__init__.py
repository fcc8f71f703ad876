"""Other programs for facial expression that can be run here: each in an environment of its own, fed as its docs say."""
