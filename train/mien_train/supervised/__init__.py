"""Training on labels, with or without a teacher."""
