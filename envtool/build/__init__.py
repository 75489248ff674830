"""From derivations to valid store paths: realise, unpack, compose."""
