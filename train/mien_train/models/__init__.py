"""Networks: the student, and later its teachers."""
