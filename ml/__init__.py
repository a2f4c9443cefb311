"""Everything about the model: reading patches, training, evaluating, answering. Knows nothing of Django."""
