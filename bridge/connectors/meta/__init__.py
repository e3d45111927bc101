"""What Facebook Messenger and WhatsApp share: Meta's webhook and Graph API."""
