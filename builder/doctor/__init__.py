"""`flatdex doctor`: a live remote, looked at as its clients meet it. What is asked stands apart from what it means."""
