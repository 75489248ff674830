"""Nix's formats, byte for byte: hashes, store paths, NAR, ATerm, derivations, references."""
