"""The lock as pip's requirements file, in its hash-checking mode where that can be."""

from collections.abc import Iterator

from envtool.formats.locked import Lock, LockedPackage

__all__ = ["render"]


def render(lock: Lock, *, hashes: bool = True) -> str:
    """Return every package at its version, with the SHA-256 of each of its files.

    pip takes hashes for all or for none, and local projects and repositories can have none: with
    one of these in the lock there are none.
    """
    hashed = hashes and all(each.wheels or each.sdist or each.archive for each in lock.packages)
    lines = [f"# CPython {lock.python.version}, {lock.python.platform or 'any platform'}"]
    if hashes and not hashed:
        lines.append("# without hashes, since pip would want them of local projects, too")
    for package in lock.packages:
        lines += _lines(package, hashed=hashed)
    return "\n".join(lines) + "\n"


def _lines(package: LockedPackage, *, hashed: bool) -> Iterator[str]:
    digests = _digests(package) if hashed else []
    head = requirement(package)
    if not digests:
        yield head
        return
    yield f"{head} \\"
    for at, digest in enumerate(digests, 1):
        yield f"    --hash=sha256:{digest}" + (" \\" if at < len(digests) else "")


def _digests(package: LockedPackage) -> list[str]:
    files = [*package.wheels, *filter(None, [package.sdist, package.archive])]
    return sorted({file.sha256 for file in files})


def requirement(package: LockedPackage) -> str:
    """Return a line that asks for just this package."""
    marker = f" ; {package.marker}" if package.marker else ""
    if package.directory is not None:
        place = package.directory.path
        local = place if place.startswith(("/", ".")) else f"./{place}"
        return f"{'-e ' if package.directory.editable else ''}{local}{marker}"
    if package.vcs is not None:
        inside = f"#subdirectory={package.vcs.subdirectory}" if package.vcs.subdirectory else ""
        url = f"{package.vcs.type}+{package.vcs.url}@{package.vcs.commit_id}{inside}"
        return f"{package.name} @ {url}{marker}"
    if package.archive is not None:
        place = package.archive.url or package.archive.path or ""
        return f"{package.name} @ {place}{marker}"
    return f"{package.name}=={package.version}{marker}"
