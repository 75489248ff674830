"""Make the store object of a generation: an environment with what it came from."""

import os
from collections.abc import Mapping

from envtool.build.builders.context import scratch
from envtool.formats import generation
from envtool.formats.generation import Record
from envtool.formats.nix import nar
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath, make_source
from envtool.machine.database import PathInfo
from envtool.machine.disk import disk_errors
from envtool.machine.store import Store
from envtool.plan.derivations import store_name


def add_generation(store: Store, record: Record, declaration: str, lock: str) -> StorePath:
    """Return the valid store object of the generation, making it if it is not there.

    It is addressed by its content, so the same environment from the same texts is the same object.
    """
    name = store_name(f"{record.name}-generation")
    texts = {
        generation.RECORD: generation.render(record),
        generation.DECLARATION: declaration.encode("utf-8", "surrogatepass"),
        generation.LOCK: lock.encode("utf-8"),
    }
    path = object_path(name, texts, record.environment)
    with store.using():
        if not store.is_valid(path):
            with scratch(store, name) as target:
                nar_hash, nar_size = write(target, texts, record.environment)
                store.place(target, path, canonical=False)
            store.sync()
            store.register([_info(path, nar_hash, nar_size, record.environment)])
    return path


def write(target: str, texts: Mapping[str, bytes], environment: StorePath) -> tuple[Hash, int]:
    """Make the folder of a generation with these files, by name; return hash and size of its NAR.

    :raises StoreError: the disk refuses.
    """
    with disk_errors("write a generation"):
        os.mkdir(target)
        for name, data in texts.items():
            with open(f"{target}/{name}", "wb") as file:
                file.write(data)
        os.symlink(f"../{environment}", f"{target}/{generation.ENVIRONMENT}")
        return nar.hash_path(target)


def object_path(name: str, texts: Mapping[str, bytes], environment: StorePath) -> StorePath:
    """Return the path that a generation with these files gets; nothing is written."""
    nodes = {
        name: nar.regular_open(len(data), executable=False) + data + nar.regular_close(len(data))
        for name, data in texts.items()
    }
    nodes[generation.ENVIRONMENT] = nar.symlink_node(f"../{environment}".encode())
    sink = nar.HashingSink()
    sink(nar.MAGIC + nar.DIRECTORY_OPEN)
    for each, node in sorted(nodes.items()):
        sink(nar.entry_open(each.encode()) + node + nar.ENTRY_CLOSE)
    sink(nar.CLOSE)
    return make_source(name, sink.hash.digest, [environment])


def _info(path: StorePath, nar_hash: Hash, nar_size: int, environment: StorePath) -> PathInfo:
    return PathInfo(
        path=path,
        nar_hash=nar_hash,
        nar_size=nar_size,
        references=frozenset({environment}),
        deriver=None,
        ca=f"fixed:r:{nar_hash}",
    )
