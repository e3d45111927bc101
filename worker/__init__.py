"""The Rasa side: turns a message into a turn of an assistant, and its responses into replies."""

import os

# Libraries of Rasa read these at import.
os.environ.setdefault("RASA_TELEMETRY_ENABLED", "false")
os.environ.setdefault("SQLALCHEMY_SILENCE_UBER_WARNING", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
