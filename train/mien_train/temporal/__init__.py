"""The temporal encoder: made-up and labelled sequences, the network, its training and its figures."""
