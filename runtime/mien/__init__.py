"""mien reads facial expression in real time on small machines."""
