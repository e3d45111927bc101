"""Shared by Facebook Messenger and WhatsApp: Meta's webhook and Graph API. Not a service."""
