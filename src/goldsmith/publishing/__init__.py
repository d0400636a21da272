"""The image pipeline: from a template to a published, signed, boot-tested image version."""
