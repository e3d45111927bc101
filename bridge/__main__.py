"""`python -m bridge` is `rasa-bridge`."""

from bridge.cli import main

main()
