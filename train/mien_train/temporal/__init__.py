"""The temporal encoder: synthetic and labeled sequences, the network, its training and its figures."""
