"""Whether extraction can be trusted: rendered truth, agreement, coupling, yield."""
