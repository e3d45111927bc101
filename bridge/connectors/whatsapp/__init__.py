"""The channel `whatsapp`."""

from bridge.connectors.whatsapp.connector import WhatsAppConnector

__all__ = ["WhatsAppConnector"]
