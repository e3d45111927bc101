"""What we rely on in Rasa, checked against the installed wheel: 3.6 and rasa-pro."""
