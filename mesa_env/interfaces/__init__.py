"""The games as the ecosystem's environments; each interface is written once, for every game."""
