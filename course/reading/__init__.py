"""To read and to run beside chapter 9: what lies beyond one process and one kernel at a time."""
