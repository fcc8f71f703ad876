"""The temporal encoder: made-up and labeled sequences, the network, its training and its figures."""
