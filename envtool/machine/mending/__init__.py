"""Damage to a store or its database: noticed, told, made whole."""
