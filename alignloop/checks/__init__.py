"""What can be known before anything runs: of a checkpoint, the parameters, the data, and this machine."""
