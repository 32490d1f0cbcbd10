"""Kitchens and plan tables, in which a goal is a vector of weights over features: to come."""
