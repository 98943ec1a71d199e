"""The paper's tables by one command: which runs they need, and what comes out beside the published values."""
