"""The mask domain: label images as fields that a network can learn, and back."""
