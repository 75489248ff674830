"""Make the store object of a generation: an environment with what it came from."""

import os

from envtool.build.builders import scratch
from envtool.formats import generation
from envtool.formats.generation import Record
from envtool.formats.nix import nar
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath, make_source
from envtool.machine.database import PathInfo
from envtool.machine.store import Store
from envtool.plan.instantiate import store_name


def add_generation(store: Store, record: Record, declaration: str, lock: str) -> StorePath:
    """Return the valid store object of the generation, making it if it is not there.

    It is addressed by its content, so the same environment from the same texts is the same object.
    """
    name = store_name(f"{record.name}-generation")
    with store.using(), scratch(store, name) as target:
        _write(target, record, declaration, lock)
        nar_hash, nar_size = nar.hash_path(target)
        path = make_source(name, nar_hash.digest, [record.environment])
        if not store.is_valid(path):
            store.place(target, path, canonical=False)
            store.sync()
            store.register([_info(path, nar_hash, nar_size, record.environment)])
    return path


def _write(target: str, record: Record, declaration: str, lock: str) -> None:
    os.mkdir(target)
    texts = {
        generation.RECORD: generation.render(record),
        generation.DECLARATION: declaration.encode("utf-8", "surrogatepass"),
        generation.LOCK: lock.encode("utf-8"),
    }
    for name, data in texts.items():
        with open(f"{target}/{name}", "wb") as file:
            file.write(data)
    os.symlink(f"../{record.environment}", f"{target}/{generation.ENVIRONMENT}")


def _info(path: StorePath, nar_hash: Hash, nar_size: int, environment: StorePath) -> PathInfo:
    return PathInfo(
        path=path,
        nar_hash=nar_hash,
        nar_size=nar_size,
        references=frozenset({environment}),
        deriver=None,
        ca=f"fixed:r:{nar_hash}",
    )
