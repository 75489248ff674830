"""Feed mutated NARs, derivations and narinfos to their readers: only our own errors may come out.

    python tests/soak/fuzz.py 10              # minutes
    python tests/soak/fuzz.py --rounds 5000   # so many inputs of each kind, the same every time
    python tests/soak/fuzz.py 10 --atheris nar

An input is refused with FormatError and leaves nothing behind, or it is read, and then what was
read is written again to what it was made of. Mutations know the formats: valid inputs are taken
to pieces, and pieces are dropped, repeated (thousands of times, too), swapped and replaced, before
bytes are. With `--atheris` (a package of its own) coverage guides the bytes. The address space is
limited, so that an allocation by a size that only the input claims ends in MemoryError.

An input that does something else is kept in the folder `fuzz-findings`; the exit code is 1.
"""

import argparse
import hashlib
import importlib
import io
import os
import random
import re
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

from envtool.errors import FormatError
from envtool.formats.nix import aterm, derivation, hashing, nar, narinfo, restore, storepath
from envtool.values import replace

VECTORS = Path(__file__).parent.parent / "formats" / "nix" / "vectors"
FINDINGS = Path("fuzz-findings")
STORE = "/nix/store"
MEMORY = 1 << 30
"""Bytes of address space beyond what the process has when it begins."""
LONGEST = 1 << 20
"""Bytes of an input; longer ones are cut."""
REPEATS = (2, 3, 300, 12_000)


# What must hold for every input


def check_nar(data: bytes, folder: str) -> bool:
    """Return whether the archive was restored."""
    source = io.BytesIO(data)
    target = os.path.join(folder, "target")
    try:
        restore.restore(source, target)
    except FormatError:
        assert os.listdir(folder) == [], "something was left behind"
        return False
    pieces: list[bytes] = []
    nar.dump(target, lambda piece: pieces.append(bytes(piece)))
    remove(target)
    assert b"".join(pieces) == data[: source.tell()], "restored otherwise than it was read"
    return True


def remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        for name in os.listdir(path):
            remove(os.path.join(path, name))
        os.rmdir(path)
    else:
        os.unlink(path)


def check_derivation(data: bytes, _: str) -> bool:
    """Return whether it was a derivation."""
    try:
        read = derivation.parse(data.decode(errors="surrogateescape"), "foo", STORE)
    except FormatError:
        return False
    assert derivation.parse(derivation.render(read, STORE), "foo", STORE) == read
    derivation.derivation_path(read, STORE)
    return True


def check_narinfo(data: bytes, _: str) -> bool:
    """Return whether it was a narinfo."""
    try:
        read = narinfo.parse(data, store_dir=STORE)
    except FormatError:
        return False
    again = narinfo.parse(narinfo.render(read, STORE), store_dir=STORE)
    assert again == replace(read, signatures=tuple(sorted(set(read.signatures))))
    assert read.fingerprint(STORE).startswith(f"1;{STORE}/")
    assert read.ca or not read.is_content_addressed(STORE)
    return True


# Valid inputs in pieces


def nar_pieces(data: bytes) -> list[bytes]:
    """Return the tokens of an archive, each with its length and padding."""
    pieces, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        end = at + 8 + size + -size % 8
        pieces.append(data[at:end])
        at = end
    return pieces


def nar_words() -> list[bytes]:
    """Return tokens that are worth trying anywhere."""
    names = [b"", b".", b"..", b"/", b"a/b", b"a\0", b"a", b"b", b"~nix~case~hack~1", b"n" * 255]
    keywords = b"( ) type regular directory symlink executable contents target entry name node"
    sizes = [size.to_bytes(8, "little") for size in (1, 2**31, 2**40, 2**63 - 1, 2**64 - 1)]
    return [*map(nar.token, [*names, *keywords.split()]), *sizes]


def seeds_of_nar() -> list[bytes]:
    pieces: list[bytes] = []
    nar.dump(os.fspath(VECTORS / "tree"), lambda piece: pieces.append(bytes(piece)))
    level = nar.DIRECTORY_OPEN + nar.entry_open(b"d")
    bottom = nar.DIRECTORY_OPEN + nar.CLOSE
    deep = nar.MAGIC + level * 9 + bottom + (nar.ENTRY_CLOSE + nar.CLOSE) * 9
    return [b"".join(pieces), deep]


def seeds_of_derivations() -> list[bytes]:
    printed = (VECTORS / "out.txt").read_bytes()
    return re.findall(rb"^\[.*?\](Derive\(.*\))$", printed, re.MULTILINE)


def seeds_of_narinfos() -> list[bytes]:
    extra = b"Deriver: rm9v4vd19fmxa6jwy1pz47af8k058rf2-foo.drv\nSystem: x86_64-linux\nOther: x\n"
    return [file.read_bytes() + extra for file in sorted(VECTORS.glob("cache-*/*.narinfo"))]


@dataclass(frozen=True)
class Target:
    """One reader, with what its inputs are made of."""

    check: Callable[[bytes, str], bool]
    seeds: list[bytes]
    pieces: Callable[[bytes], list[bytes]]
    words: list[bytes]


TARGETS = {
    "nar": Target(check_nar, seeds_of_nar(), nar_pieces, nar_words()),
    "derivation": Target(
        check_derivation,
        seeds_of_derivations(),
        re.compile(rb'"(?:[^"\\]|\\.)*"|[^"]', re.DOTALL).findall,
        [*rb'" \ [ ] ( ) , Derive( \n \x00 \xff ""'.split(), b"\0", b'"r:sha256"', b'"/nix/store"'],
    ),
    "narinfo": Target(
        check_narinfo,
        seeds_of_narinfos(),
        re.compile(rb"\n|: |[ :/-]|[^\n :/-]+").findall,
        [b"\n", b": ", b"-1", b"0", b"9" * 5000, b"\xff", b"\0", b"StorePath", b"sha256:", b"\r"],
    ),
}


# Mutations


def mutated(target: Target, dice: random.Random) -> bytes:
    """Return a valid input after some changes of its pieces, then perhaps of its bytes."""
    pieces = target.pieces(dice.choice(target.seeds))
    for _ in range(dice.choice((0, 1, 1, 2, 3, 8))):
        change_pieces(pieces, target, dice)
    data = bytearray(b"".join(pieces)[:LONGEST])
    for _ in range(dice.choice((0, 0, 1, 1, 2, 5))):
        change_bytes(data, dice)
    return bytes(data)


def change_pieces(pieces: list[bytes], target: Target, dice: random.Random) -> None:
    start = dice.randrange(len(pieces) + 1)
    end = start + dice.choice((1, 1, 2, 3, 6, 12, len(pieces)))
    match dice.randrange(6):
        case 0:
            del pieces[start:end]
        case 1:
            pieces[start:start] = pieces[start:end][:12] * dice.choice(REPEATS)
        case 2:
            pieces[start:end] = reversed(pieces[start:end])
        case 3:
            other = target.pieces(dice.choice(target.seeds))
            pieces[start:end] = other[dice.randrange(len(other)) :]
        case _:
            pieces[start : start + dice.randrange(2)] = [dice.choice(target.words)]


def change_bytes(data: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(data) + 1)
    match dice.randrange(4):
        case 0:
            del data[at:]
        case 1:
            del data[at : at + dice.randrange(9)]
        case 2:
            data[at:at] = dice.randbytes(dice.randrange(1, 9))
        case _:
            data[at : at + 1] = bytes([dice.choice((0, 1, 0x28, 0x7F, 0x80, 0xFF))])


# Running


def ours_only(name: str, data: bytes, folder: str) -> bool:
    """Check one input; keep it and say what went wrong if something did."""
    try:
        return TARGETS[name].check(data, folder)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        FINDINGS.mkdir(exist_ok=True)
        file = FINDINGS / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}"
        file.write_bytes(data)
        traceback.print_exc()
        raise SystemExit(f"{file}: {type(error).__name__}") from error


def rounds(minutes: float | None, count: int) -> Iterator[int]:
    """Give the number of each round, up to `count` or for so many minutes."""
    if minutes is None:
        yield from range(count)
        return
    number, end = 0, time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        yield number
        number += 1


def run(names: Sequence[str], minutes: float | None, count: int, folder: str) -> None:
    read = dict.fromkeys(names, 0)
    number = -1
    for number in rounds(minutes, count):
        for name in names:
            data = mutated(TARGETS[name], random.Random(f"{name} {number}"))
            read[name] += ours_only(name, data, folder)
    for name in names:
        say(f"{name}: {number + 1} inputs, {read[name]} of them valid, all others refused")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    say(f"at most {peak} MB of memory; nothing left behind")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def run_atheris(name: str, minutes: float | None, count: int, folder: str) -> None:
    """Let coverage guide the inputs; ends the process."""
    atheris = importlib.import_module("atheris")
    for reader in (aterm, derivation, hashing, nar, narinfo, restore, storepath):
        instrument(reader, atheris.instrument_func)
    corpus, inputs = Path(folder, "corpus"), Path(folder, "inputs")
    corpus.mkdir()
    inputs.mkdir()
    for number, seed in enumerate(TARGETS[name].seeds):
        (corpus / str(number)).write_bytes(seed)
    limit = f"-runs={count}" if minutes is None else f"-max_total_time={round(60 * minutes)}"
    argv = [sys.argv[0], limit, "-rss_limit_mb=1500", "-max_len=8192", str(corpus)]
    atheris.Setup(argv, lambda data: ours_only(name, data, str(inputs)) and None)
    atheris.Fuzz()


def instrument(owner: object, wrap: Callable[[FunctionType], FunctionType]) -> None:
    """Make the functions and methods that `owner` itself defines report what they reach."""
    module = getattr(owner, "__module__", None) or getattr(owner, "__name__", "")
    for each in list(vars(owner).values()):
        if getattr(each, "__module__", None) != module:
            continue
        if isinstance(each, FunctionType):
            each.__code__ = wrap(each).__code__
        elif isinstance(each, type):
            instrument(each, wrap)


def limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))


def main() -> int:
    """Parse the command line and fuzz; return the exit code."""
    parser = argparse.ArgumentParser(description="Fuzz the readers of Nix's formats.")
    parser.add_argument("minutes", type=float, nargs="?", help="how long; else see --rounds")
    parser.add_argument("--rounds", type=int, default=1000, help="inputs of each kind (1000)")
    parser.add_argument("--atheris", choices=TARGETS, help="fuzz this reader guided by coverage")
    options = parser.parse_args()
    # In memory where it can be: tens of thousands of files are made and removed.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="envtool-fuzz-", dir=place) as folder:
        if options.atheris:
            # It ends its process without a chance to remove the folder.
            if (child := os.fork()) == 0:
                run_atheris(options.atheris, options.minutes, options.rounds, folder)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        limit_memory()
        run(list(TARGETS), options.minutes, options.rounds, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
