"""Debian's text formats: control stanzas, versions, relations, Release, Contents, apt's sources."""
