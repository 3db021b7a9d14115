"""The lessons' exercises: what checks an answer, and says kindly what is missing."""
