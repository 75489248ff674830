"""The built-in builders: each turns one derivation into a placed, not yet registered store object.

They run in process. What runs code of a package, the building of source projects, is
`envtool.build.project`.
"""
