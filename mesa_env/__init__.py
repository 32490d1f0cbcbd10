"""Games for studying deceptive alignment."""
