"""A Rasa project in the shape of Rasa's own reminderbot; `test_reminderbot` trains and runs it."""
