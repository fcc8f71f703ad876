"""Networks: the student and EmoNet, the weights that they start from, and checkpoints."""
