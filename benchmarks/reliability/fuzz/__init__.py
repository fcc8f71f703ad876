"""Broken and strange inputs by the thousand; ``driver`` says what is asked of them."""
