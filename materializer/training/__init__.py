"""Training sets: labels joined point-in-time, the files they become, receipts and their proof."""
